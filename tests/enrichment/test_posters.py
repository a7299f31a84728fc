"""Posters: fetched once from the image host, kept, and drawn where it does not answer."""

import contextlib
import dataclasses
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mm import clock, config, models
from mm.database import db
from mm.errors import NotFoundError
from mm.models import Job, Title
from mm.providers import images, limits
from mm.providers.cache import Cache
from mm.services import jobs
from mm.services.enrichment import posters
from mm.services.enrichment import runner as enrichment_runner
from mm.services.library import movies
from tests.conftest import PASSWORD
from tests.support import standin as stand

FILM = stand.FILM_IDS[0]
NAME = f"{FILM}.png"


@pytest.fixture
def settings(tmp_path, standin):
    return config.Config(data_dir=tmp_path / "data", **standin.config())


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """No memory of other tests, and no waiting."""
    monkeypatch.setattr(posters, "_missing", Cache(100, posters.MISSING_SECONDS))
    monkeypatch.setattr(posters, "_silent_hosts", Cache(4, posters.SILENT_SECONDS))
    monkeypatch.setattr(limits, "posters_worker", limits.RateLimiter(1000, ceiling=1000))


@pytest.fixture
def film(alice):
    """In Alice's library, with a poster that nobody has asked for."""
    hold(alice, FILM)
    return FILM


@pytest.fixture
def page(client, alice):
    client.environ_base["HTTP_SEC_FETCH_SITE"] = "same-origin"
    client.post("/login", data={"email": alice.email, "password": PASSWORD})
    return client


def hold(user, imdb_id, poster=None, fetched_at=None):
    movies.add(user.id, imdb_id)
    columns = {
        "title": "The <b>Kettle</b>",
        "poster_path": poster or f"/{imdb_id}.png",
        "tmdb_state": "ready",
        "tmdb_fetched_at": fetched_at or clock.now(),
    }
    Title.update(columns).where(Title.imdb_id == imdb_id).execute()


def use_image_host(url):
    config.use(dataclasses.replace(config.current, tmdb_image_url=url))


def get(page, path=f"w342/{NAME}"):
    return page.get(f"/posters/{path}", buffered=True)


def run():
    try:
        return posters.run(jobs.create("posters"))
    finally:
        Job.delete().execute()


class _Plain(BaseHTTPRequestHandler):
    """Answers anything with the same."""

    content, status, fields, host = b"", 200, {}, None

    def do_GET(self):
        self.host.asked += 1
        self.send_response(self.status)
        for name, value in {"Content-Length": str(len(self.content)), **self.fields}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serving(content, status=200, fields=None):
    """A host that answers every request so; `url`, and how often it was `asked`."""
    handler = type(
        "Bound", (_Plain,), {"content": content, "status": status, "fields": fields or {}}
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    handler.host = server
    server.asked, server.url = 0, f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    )
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# A page asks.


def test_a_poster_is_fetched_once_and_cached_for_ever(page, film, standin):
    first, second = (get(page) for _ in range(2))
    assert first.data == second.data == stand.picture(NAME)
    assert first.mimetype == "image/png"
    assert "immutable" in first.headers["Cache-Control"]
    assert "private" in first.headers["Cache-Control"]
    assert sum(standin.images.values()) == 1


def test_a_poster_file_is_readable_only_by_its_owner(film):
    path = posters.get_or_fetch("w342", NAME)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == [NAME]


def test_twenty_simultaneous_requests_for_a_poster_fetch_it_once(page, film, standin):
    together = threading.Barrier(20)

    def ask(_):
        together.wait()
        with db.connection_context():
            return posters.get_or_fetch("w342", NAME)

    with ThreadPoolExecutor(20) as pool:
        got = list(pool.map(ask, range(20)))
    assert sum(map(bool, got)) >= posters.AT_ONCE
    assert sum(standin.images.values()) == 1
    assert get(page).mimetype == "image/png"


@pytest.fixture
def silent_host():
    """It takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        use_image_host(f"http://127.0.0.1:{listener.getsockname()[1]}")
        yield


@pytest.mark.slow
@pytest.mark.parametrize("different", [False, True])
def test_only_a_few_requests_wait_for_a_silent_host(alice, silent_host, monkeypatch, different):
    monkeypatch.setattr("mm.providers.images.READ_SECONDS", 1.2)
    monkeypatch.setattr(posters, "TURN_SECONDS", 0.4)
    films = stand.FILM_IDS[:20] if different else [FILM] * 20
    for imdb_id in set(films):
        hold(alice, imdb_id)
    together = threading.Barrier(20)

    def ask(imdb_id):
        with db.connection_context():
            posters.title_of(f"{imdb_id}.png")
            together.wait()
            began = time.monotonic()
            assert posters.get_or_fetch("w342", f"{imdb_id}.png") is None
            return time.monotonic() - began

    with ThreadPoolExecutor(20) as pool:
        seconds = sorted(pool.map(ask, films))
    fetching = posters.AT_ONCE if different else 1
    assert seconds[20 - posters.AT_ONCE - posters.WAITING - 1] < 0.3
    assert seconds[20 - fetching - 1] < 1
    assert seconds[-1] >= 1.2


def test_a_poster_that_got_no_turn_is_drawn_with_a_short_cache_time(page, film, monkeypatch):
    monkeypatch.setattr(posters, "_waiting", threading.BoundedSemaphore(1))
    with posters._waiting:
        answer = get(page)
    assert answer.mimetype == "image/svg+xml"
    assert "max-age=5" in answer.headers["Cache-Control"].split(", ")
    assert get(page).mimetype == "image/png"


def test_posters_need_a_log_in(client, film):
    assert client.get(f"/posters/w342/{NAME}").location.startswith("/login")


@pytest.mark.parametrize("size", ["original", "w1", "W342", "..", "w342x"])
def test_only_sizes_of_tmdb_are_served(page, film, size):
    assert page.get(f"/posters/{size}/{NAME}").status_code == 404


@pytest.mark.parametrize(
    "name",
    [
        "..%2f..%2fmm.db",
        "%2e%2e",
        "x.svg",
        "x.png%00",
        "x",
        ".png",
        "a.b.png",
        "ü.png",
        "x.png%0a",
        "a" * 101 + ".png",
    ],
)
def test_a_name_that_no_poster_can_have_is_not_found(page, film, standin, name):
    assert page.get(f"/posters/w342/{name}").status_code == 404
    assert not standin.images


def test_a_poster_that_belongs_to_no_title_is_not_fetched(page, film, standin):
    assert page.get("/posters/w342/elsewhere.png").status_code == 404
    assert not standin.images


def test_when_the_host_is_down_the_poster_is_drawn_with_the_titles_initial(page, film):
    use_image_host("http://127.0.0.1:9")
    answer = get(page)
    assert answer.status_code == 200
    assert answer.mimetype == "image/svg+xml"
    assert ">T</text>" in answer.text
    assert "max-age=60" in answer.headers["Cache-Control"]


def test_a_silent_host_is_left_alone_for_a_minute(frozen_clock, page, film, standin):
    image_url = config.current.tmdb_image_url
    use_image_host("http://127.0.0.1:9")
    get(page)
    config.use(dataclasses.replace(config.current, tmdb_image_url=image_url))
    posters._silent_hosts.put(image_url, True)
    assert get(page).mimetype == "image/svg+xml"
    frozen_clock.move(posters.SILENT_SECONDS + 1)
    assert get(page).mimetype == "image/png"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"<html>no picture</html>", 200),
        (b"", 200),
        (stand.picture("x"), 404),
        (b"\xff\xd8\xff" * 2**21, 200),
    ],
)
def test_an_unusable_picture_is_neither_kept_nor_requested_again(page, film, content, status):
    with serving(content, status) as host:
        use_image_host(host.url)
        assert get(page).mimetype == "image/svg+xml"
        assert get(page).mimetype == "image/svg+xml"
    assert host.asked == 1
    assert not list(config.current.posters_dir.rglob("*.png"))


def test_a_redirect_is_not_followed(page, film, standin):
    with serving(b"", 302, {"Location": f"{standin.url}/t/p/w342/{NAME}"}) as host:
        use_image_host(host.url)
        assert get(page).mimetype == "image/svg+xml"
    assert not standin.images


# The worker.


def test_the_worker_fetches_the_posters_of_libraries_after_their_titles(
    alice, bob, database, standin
):
    for number, imdb_id in enumerate(stand.FILM_IDS[:5]):
        hold(bob if number % 2 else alice, imdb_id)
    job = posters.start_if_due()
    assert posters.run(job) == {"fetched": 5, "absent": 0}
    assert standin.images == {"w342": 5}
    assert posters.start_if_due() is None


def test_the_posters_job_waits_until_titles_are_looked_up(film):
    jobs.create("enrich")
    assert posters.start_if_due() is None
    Job.delete().execute()
    assert posters.start_if_due() is not None
    assert posters.start_if_due() is None


def test_a_title_that_no_library_holds_gets_no_poster(database, standin):
    models.ensure_titles(db.obj, [FILM])
    Title.update(poster_path=f"/{NAME}", tmdb_fetched_at=1.0).execute()
    assert run() == {"fetched": 0, "absent": 0}


def test_a_stopped_run_continues_where_it_was(alice, database, standin, monkeypatch):
    for imdb_id in stand.FILM_IDS[:5]:
        hold(alice, imdb_id)
    monkeypatch.setattr(enrichment_runner, "stopping", threading.Event())
    fetch = images.fetch

    def fetch_two(url, pace):
        if sum(standin.images.values()) == 1:
            enrichment_runner.stopping.set()
        return fetch(url, pace)

    monkeypatch.setattr(images, "fetch", fetch_two)
    with pytest.raises(jobs.StoppedError):
        run()
    enrichment_runner.stopping.clear()
    assert run()["fetched"] == 3
    assert sum(standin.images.values()) == 5


def test_a_job_fetches_a_limited_number_and_the_next_continues(
    alice, database, standin, monkeypatch
):
    monkeypatch.setattr(posters, "JOB_FILES", 2)
    monkeypatch.setattr(posters, "READ_AHEAD", 2)
    for imdb_id in stand.FILM_IDS[:3]:
        hold(alice, imdb_id)
    assert [run()["fetched"], run()["fetched"], run()["fetched"]] == [2, 1, 0]


def test_a_silent_host_is_tried_again_after_ten_minutes(frozen_clock, film, standin):
    image_url = config.current.tmdb_image_url
    use_image_host("http://127.0.0.1:9")
    assert run() == {"fetched": 0, "absent": 0}
    use_image_host(image_url)
    assert posters.start_if_due() is None
    frozen_clock.move(posters.RETRY_SECONDS)
    assert posters.run(posters.start_if_due())["fetched"] == 1


def test_a_poster_path_that_is_no_file_name_is_skipped(alice, database, standin):
    hold(alice, FILM, poster="/../../etc/passwd")
    hold(alice, stand.FILM_IDS[1])
    assert run() == {"fetched": 1, "absent": 1}


def test_a_changed_poster_is_fetched(frozen_clock, film, alice, standin):
    run()
    frozen_clock.move(86400)
    hold(alice, FILM, poster="/new.png")
    assert run()["fetched"] == 1
    assert posters.path_of("w342", "new.png").exists()


def test_a_path_outside_the_posters_folder_is_refused():
    with pytest.raises(NotFoundError):
        posters.path_of("w342", "../mm.db")


class _Trickling(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(200):
                self.wfile.write(b" ")
                time.sleep(0.02)

    def log_message(self, *args):
        pass


def test_a_host_that_trickles_is_abandoned_at_the_deadline(film, monkeypatch):
    monkeypatch.setattr("mm.providers.images.WHOLE_SECONDS", 0.2)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Trickling)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    use_image_host(f"http://127.0.0.1:{server.server_port}")
    began = time.monotonic()
    assert posters.get_or_fetch("w342", NAME) is None
    assert time.monotonic() - began < 3
    server.shutdown()
    server.server_close()
    thread.join()


def test_with_an_unusable_image_url_the_poster_is_drawn(page, film):
    use_image_host(f"http://{'a' * 64}.example/t/p")
    assert get(page).mimetype == "image/svg+xml"
