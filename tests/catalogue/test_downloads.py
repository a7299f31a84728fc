"""Datasets are fetched whole, each byte once, and whatever goes wrong is said in plain words.

`MM_TEST_KILLS` sets the number of kills at random moments; the suite's few are seeded.
"""

import os
import random
import stat
import subprocess
import sys
import threading
import time

import pytest

from mm import config, disk
from mm.errors import NoRoomError, UnavailableError
from mm.providers import imdb_datasets
from mm.schemas import CatalogueChoice
from mm.services import jobs
from mm.services.catalogue import downloads
from tests.support.datasets import HTML

KILLS = int(os.environ.get("MM_TEST_KILLS", "2"))
KIB = 2**10
BASICS, RATINGS = "title.basics", "title.ratings"
# What a look at a file takes, to see which one it is.
LOOK = 2


@pytest.fixture
def settings(tmp_path, datasets):
    return config.Config(data_dir=tmp_path / "data", imdb_datasets_url=datasets.url)


@pytest.fixture(autouse=True)
def brisk(app, monkeypatch):
    """No pauses, and no room wanted for a catalogue of real size."""
    monkeypatch.setattr(downloads, "PAUSES", (0, 0, 0))
    monkeypatch.setattr(downloads, "WHILE_BUILDING", 0)
    monkeypatch.setattr(downloads, "LOOK_SECONDS", 0)
    monkeypatch.setattr(imdb_datasets, "POLL_SECONDS", 0.05)


@pytest.fixture
def basics(datasets):
    """The bytes of one dataset, as large as is handy."""
    body = blob(400 * KIB)
    datasets.serve(BASICS, body)
    return body


def blob(size):
    return imdb_datasets.GZIP + os.urandom(size - 2)


def fetch(*names, known=None, progress=lambda *_: None, must_stop=lambda: False):
    return downloads.fetch(names or (BASICS,), known or {}, progress, must_stop)


def folder():
    path = config.current.datasets_dir
    return sorted(entry.name for entry in path.iterdir()) if path.is_dir() else []


def etags(fetched):
    return {name: dataset.etag for name, dataset in fetched.items()}


# What is fetched.


def test_a_choice_has_its_datasets_and_their_size():
    choice = CatalogueChoice(0, akas=True, directors=True)

    names = downloads.names(choice)
    assert names == ("title.basics", "title.ratings", "title.akas", "title.crew", "name.basics")
    assert downloads.names(CatalogueChoice(0)) == (BASICS, RATINGS)
    assert downloads.size_of((BASICS, RATINGS)) == 223_200_000
    assert downloads.size_of(names) > 10**9
    assert downloads.disk_of((BASICS, RATINGS)) == 240_000_000
    assert downloads.disk_of(names) == 390_000_000


def test_files_arrive_as_they_are_and_for_the_owner_only(datasets):
    names = downloads.names(CatalogueChoice(0, akas=True, directors=True))
    told = []

    fetched = fetch(*names, progress=lambda *now: told.append(now))

    for name in names:
        path, etag, size = fetched[name]
        assert path.read_bytes() == datasets.bodies[name]
        assert (etag, size) == (datasets.etags[name], len(datasets.bodies[name]))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert datasets.sent[name] == size + LOOK
    assert stat.S_IMODE(config.current.datasets_dir.stat().st_mode) == 0o700
    assert not [name for name in folder() if name.endswith(".part")]
    total = sum(map(len, datasets.bodies.values()))
    assert told[0] == ("Fetching titles", 0, downloads.size_of(names))
    assert told[-1] == ("Fetching names", total, total)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert len({doing for doing, _, _ in told}) == len(names)


def test_nothing_is_fetched_while_every_file_is_the_known_one(datasets, lines):
    known = etags(fetch(BASICS, RATINGS))
    downloads.clear()
    datasets.forget()

    assert fetch(BASICS, RATINGS, known=known) is None

    assert [status for _, _, status in datasets.asked] == [304, 304]
    assert datasets.sent.total() == 0
    assert folder() == []
    assert "datasets.unchanged" in lines()[-1]


def test_a_host_that_ignores_conditional_requests_is_understood(datasets):
    datasets.fault("no_condition")

    assert fetch(known={BASICS: datasets.etags[BASICS]}) is None
    assert [status for _, _, status in datasets.asked] == [206]


def test_when_one_file_is_new_all_are_there_and_only_what_is_missing_is_fetched(datasets):
    known = etags(fetch(BASICS, RATINGS))
    datasets.serve(RATINGS, blob(5000))
    datasets.forget()

    fetched = fetch(BASICS, RATINGS, known=known)

    assert fetched[BASICS].etag == known[BASICS]
    assert fetched[RATINGS].path.read_bytes() == datasets.bodies[RATINGS]
    assert datasets.sent == {BASICS: LOOK, RATINGS: LOOK + 5000}
    downloads.clear()
    fetched = fetch(BASICS, RATINGS, known=known)
    assert fetched[BASICS].path.read_bytes() == datasets.bodies[BASICS]


def test_what_was_fetched_before_is_not_fetched_again(datasets, basics):
    fetch()
    datasets.forget()

    assert fetch()[BASICS].path.read_bytes() == basics
    assert datasets.sent.total() == LOOK


def test_a_file_whose_description_is_damaged_is_fetched_again(datasets, basics):
    fetch()
    (config.current.datasets_dir / f"{BASICS}.tsv.gz.json").write_text("{")
    datasets.forget()

    assert fetch()[BASICS].path.read_bytes() == basics
    assert datasets.sent[BASICS] == len(basics) + LOOK


def test_a_file_that_the_host_calls_encoded_is_kept_as_it_is(datasets):
    datasets.fault("encoded")

    assert fetch()[BASICS].path.read_bytes() == datasets.bodies[BASICS]


def test_redirects_are_followed_but_not_for_ever(datasets, basics):
    datasets.fault("redirect", times=1)
    assert fetch()[BASICS].path.read_bytes() == basics

    datasets.fault("loop")
    with pytest.raises(UnavailableError, match="redirects too often"):
        fetch()


# Breaks.


def test_after_breaks_it_continues_where_it_was(datasets, basics, lines):
    datasets.fault("", times=1)
    datasets.fault("break", after=100 * KIB, times=2)

    assert fetch()[BASICS].path.read_bytes() == basics

    assert datasets.sent[BASICS] == len(basics) + LOOK
    starts = [bytes_asked for _, bytes_asked, _ in datasets.asked]
    assert starts == ["bytes=0-1", None, "bytes=102400-", "bytes=204800-"]
    events = [line.split(" ", 2)[2] for line in lines()]
    assert events[0] == "datasets.fetch datasets=1 bytes=409600 kept=0"
    assert events[1].startswith("datasets.broke_off dataset=title.basics bytes=102400 reason=")
    assert events[2].startswith("datasets.broke_off dataset=title.basics bytes=204800 reason=")
    assert events[3].startswith("datasets.fetched dataset=title.basics bytes=409600 seconds=")
    assert len(events) == 4


def test_it_gives_up_after_some_tries_and_the_next_call_continues(datasets, basics, lines):
    datasets.fault("", times=1)
    datasets.fault("break", after=10 * KIB)

    with pytest.raises(
        UnavailableError, match=r"closed the connection .* is kept for the next try"
    ):
        fetch()

    assert len(datasets.asked) == 1 + 4
    assert "datasets.failed" in lines()[-1]
    assert folder() == [f"{BASICS}.tsv.gz.json", f"{BASICS}.tsv.gz.part"]
    datasets.heal()
    assert fetch()[BASICS].path.read_bytes() == basics
    assert datasets.sent[BASICS] == len(basics) + 2 * LOOK


def test_on_a_bad_line_a_try_that_advances_is_not_a_failure(datasets, basics, monkeypatch):
    monkeypatch.setattr(downloads, "ADVANCE_BYTES", 10 * KIB)
    datasets.fault("", times=1)
    datasets.fault("break", after=20 * KIB)

    assert fetch()[BASICS].path.read_bytes() == basics
    assert len(datasets.asked) == 1 + 20


def test_a_host_that_cannot_resume_is_not_asked_for_ever(datasets, basics, monkeypatch):
    monkeypatch.setattr(downloads, "ADVANCE_BYTES", 10 * KIB)
    datasets.fault("no_range break", after=20 * KIB)

    with pytest.raises(UnavailableError, match="closed the connection"):
        fetch()
    # One look, one try that brought more than there was before, and three that did not.
    assert len(datasets.asked) == 1 + 1 + 3


@pytest.mark.parametrize("lacks", ["no_range", "no_etag", "wrong_range"])
def test_with_a_host_that_cannot_resume_it_starts_over(datasets, basics, lacks):
    datasets.fault("no_etag" if lacks == "no_etag" else "", times=1)
    datasets.fault("break", after=100 * KIB, times=1)
    datasets.fault(lacks, times=1)

    assert fetch()[BASICS].path.read_bytes() == basics


def test_a_file_that_changed_during_a_break_is_started_over(datasets, basics):
    new = blob(300 * KIB)
    datasets.fault("", times=1)
    datasets.fault("break", after=100 * KIB, times=1)
    fetched = fetch(must_stop=serve_after(datasets, 100 * KIB, new))

    assert fetched[BASICS].path.read_bytes() == new
    assert fetched[BASICS].etag == datasets.etags[BASICS]


def test_a_part_of_another_file_is_refused(datasets, basics):
    new = blob(300 * KIB)
    datasets.fault("", times=1)
    datasets.fault("break", after=100 * KIB, times=1)
    datasets.fault("blind_range", times=1)

    fetched = fetch(must_stop=serve_after(datasets, 100 * KIB, new))

    assert fetched[BASICS].path.read_bytes() == new
    assert [status for _, _, status in datasets.asked] == [206, 200, 206, 200]


def test_a_file_that_became_shorter_than_its_part_is_started_over(datasets, basics):
    new = blob(20 * KIB)
    etag = datasets.etags[BASICS]
    datasets.fault("", times=1)
    datasets.fault("break", after=100 * KIB, times=1)

    fetched = fetch(must_stop=serve_after(datasets, 100 * KIB, new, etag))

    assert fetched[BASICS].path.read_bytes() == new
    assert [status for _, _, status in datasets.asked] == [206, 200, 416, 200]


def serve_after(datasets, sent, body, etag=None):
    """A `must_stop` by which the host has another file once so many bytes were sent."""

    def look():
        if datasets.sent[BASICS] == sent + LOOK:
            datasets.serve(BASICS, body, etag)
        return False

    return look


def test_each_file_has_the_etag_of_what_was_fetched(datasets, basics):
    """The host's files change one after the other."""
    new = blob(5000)

    def look():
        if datasets.sent[BASICS] > LOOK:
            datasets.serve(RATINGS, new)
        return False

    fetched = fetch(BASICS, RATINGS, must_stop=look)

    assert fetched[RATINGS].path.read_bytes() == new
    assert fetched[RATINGS].etag == datasets.etags[RATINGS]
    assert fetch(BASICS, RATINGS, known=etags(fetched)) is None


def test_silence_ends_a_try(datasets, basics, monkeypatch, lines):
    monkeypatch.setattr(imdb_datasets, "SILENT_SECONDS", 0.2)
    datasets.fault("", times=1)
    datasets.fault("stall", after=100 * KIB, times=1)

    assert fetch()[BASICS].path.read_bytes() == basics
    assert datasets.sent[BASICS] == len(basics) + LOOK
    assert "did not answer in time" in lines()[1]


def test_a_trickle_ends_a_try(datasets, basics, monkeypatch, lines):
    monkeypatch.setattr(imdb_datasets, "SLOW_SECONDS", 0.2)
    datasets.fault("", times=1)
    datasets.fault("trickle", after=KIB, seconds=0.01, times=1)

    assert fetch()[BASICS].path.read_bytes() == basics
    assert "became too slow" in lines()[1]


@pytest.mark.parametrize("kind, status", [("error", 500), ("busy", 503)])
def test_a_host_that_has_trouble_is_asked_again(datasets, basics, lines, kind, status):
    datasets.fault(kind, seconds=0, times=2)

    assert fetch()[BASICS].path.read_bytes() == basics
    assert f"answered with {status}" in lines()[0]


def test_a_pause_that_the_host_asks_for_is_kept(datasets, basics):
    datasets.fault("busy", seconds=1, times=1)
    begun = time.monotonic()

    fetch()

    assert time.monotonic() - begun > 1


def test_a_long_pause_is_not_waited_for(datasets):
    datasets.fault("busy", seconds=3600)

    with pytest.raises(UnavailableError, match="answered with 503"):
        fetch()
    assert len(datasets.asked) == 1


# What is no dataset.


@pytest.mark.parametrize("kind", ["html", "redirect_html", "portal"])
def test_a_log_in_page_is_called_one(datasets, kind):
    datasets.fault(kind)

    with pytest.raises(UnavailableError, match="Is there a log-in page between"):
        fetch()
    assert len(datasets.asked) == 1
    assert folder() == []


def test_a_log_in_page_costs_nothing_that_has_arrived(datasets, basics):
    datasets.fault("", times=1)
    datasets.fault("break", after=100 * KIB, times=1)
    datasets.fault("html", times=1)

    with pytest.raises(UnavailableError, match="log-in page"):
        fetch()
    assert fetch()[BASICS].path.read_bytes() == basics
    assert datasets.sent[BASICS] == len(basics) + 2 * LOOK + len(HTML)


def test_an_empty_file_is_not_a_dataset(datasets):
    datasets.serve(BASICS, b"")

    with pytest.raises(UnavailableError):
        fetch()


def test_a_file_that_is_not_there_is_asked_for_once(datasets):
    datasets.fault("gone")

    with pytest.raises(UnavailableError, match=r"answered with 404 when asked for title\.basics"):
        fetch()
    assert len(datasets.asked) == 1


def test_an_absurd_size_is_refused(datasets, monkeypatch):
    datasets.fault("huge")
    with pytest.raises(UnavailableError, match="more data than any dataset"):
        fetch()

    datasets.heal()
    monkeypatch.setattr(imdb_datasets, "BYTES_MAX", 50 * KIB)
    datasets.serve(BASICS, blob(100 * KIB))
    datasets.fault("no_length")
    with pytest.raises(UnavailableError, match="more data than any dataset"):
        fetch()


def test_an_address_that_cannot_be_used_is_named_by_its_variable(settings, monkeypatch):
    monkeypatch.setattr(config, "current", changed(settings, "nonsense"))

    with pytest.raises(UnavailableError, match="IMDB_DATASETS_URL is not a usable address"):
        fetch()


def test_an_unreachable_host_is_reported_without_its_address(settings, monkeypatch, lines):
    url = "http://me:hunter2-secret@127.0.0.1:9/datasets"
    monkeypatch.setattr(config, "current", changed(settings, url))

    with pytest.raises(UnavailableError, match="could not be reached") as error:
        fetch()

    assert "hunter2" not in error.value.message
    assert "127.0.0.1" not in error.value.message
    assert not [line for line in lines() if "hunter2" in line]


def changed(settings, url):
    return config.Config(data_dir=settings.data_dir, imdb_datasets_url=url)


# Stopping.


def test_it_stops_while_nothing_arrives_and_nothing_is_fetched_twice(datasets, basics, lines):
    datasets.fault("", times=1)
    datasets.fault("stall", after=100 * KIB, times=1)
    stopping = threading.Event()
    stop_soon = threading.Timer(0.3, stopping.set)
    begun = time.monotonic()
    stop_soon.start()

    with pytest.raises(jobs.StoppedError):
        fetch(must_stop=stopping.is_set)

    assert 0.3 <= time.monotonic() - begun < 1.3
    assert "datasets.stopped bytes=102400" in lines()[-1]
    assert fetch()[BASICS].path.read_bytes() == basics
    assert datasets.sent[BASICS] == len(basics) + 2 * LOOK


def test_it_stops_before_the_answer_begins_and_in_a_pause(datasets, monkeypatch):
    datasets.fault("slow", seconds=20, times=1)
    begun = time.monotonic()
    with pytest.raises(jobs.StoppedError):
        fetch(must_stop=lambda: time.monotonic() - begun > 0.2)

    monkeypatch.setattr(downloads, "PAUSES", (20,))
    datasets.fault("error", times=1)
    with pytest.raises(jobs.StoppedError):
        fetch(must_stop=lambda: time.monotonic() - begun > 0.5)

    assert time.monotonic() - begun < 2


@pytest.mark.processes
def test_a_killed_process_leaves_what_the_next_one_continues_with(datasets, basics):
    datasets.fault("", times=1)
    datasets.fault("stall", after=200 * KIB, times=1)
    part = config.current.datasets_dir / f"{BASICS}.tsv.gz.part"
    with fetching_process() as process:
        wait_until(lambda: part.exists() and part.stat().st_size)
        process.kill()
    kept = part.stat().st_size
    datasets.forget()

    assert fetch()[BASICS].path.read_bytes() == basics
    assert datasets.sent[BASICS] == len(basics) - kept + LOOK


@pytest.mark.slow
@pytest.mark.processes
def test_whenever_it_is_killed_the_next_one_ends_with_whole_files(datasets, basics):
    random.seed(20260302)
    names = downloads.names(CatalogueChoice(0, akas=True))
    datasets.fault("trickle", piece=20 * KIB, seconds=0.02)
    for _ in range(KILLS):
        datasets.forget()
        with fetching_process(*names) as process:
            wait_until(lambda: datasets.asked)
            time.sleep(random.uniform(0, 1))
            process.kill()
    datasets.heal()

    fetched = fetch(*names)

    for name in names:
        assert fetched[name].path.read_bytes() == datasets.bodies[name]
    assert len(folder()) == 2 * len(names)


def fetching_process(*names):
    program = (
        "from mm import config\n"
        "from mm.services.catalogue import downloads\n"
        "config.use(config.from_environ())\n"
        "downloads.WHILE_BUILDING = 0\n"
        f"downloads.fetch({names or (BASICS,)}, {{}}, lambda *_: None, lambda: False)\n"
    )
    return subprocess.Popen([sys.executable, "-c", program], cwd=config.ROOT, env=environment())


def wait_until(is_so):
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def environment():
    return os.environ | {
        "MM_DATA_DIR": str(config.current.data_dir),
        "IMDB_DATASETS_URL": config.current.imdb_datasets_url,
    }


# The disk.


def test_a_download_for_which_there_is_no_room_does_not_begin(datasets, basics, monkeypatch):
    monkeypatch.setattr(downloads, "WHILE_BUILDING", 2)
    monkeypatch.setattr(disk, "free_bytes", lambda folder: 460_000_000)

    with pytest.raises(NoRoomError, match=r"461\.5 MB needed, 460\.0 MB free"):
        fetch()
    assert datasets.sent[BASICS] == LOOK
    monkeypatch.setattr(disk, "free_bytes", lambda folder: 462_000_000)
    assert fetch()[BASICS].path.read_bytes() == basics


@pytest.mark.slow
def test_memory_stays_flat_however_large_a_file_is(datasets):
    datasets.serve(BASICS, blob(100 * 2**20))
    program = (
        "import resource\n"
        "from mm import config\n"
        "from mm.services.catalogue import downloads\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "config.use(config.from_environ())\n"
        "downloads.WHILE_BUILDING = 0\n"
        "fetch = lambda name: downloads.fetch([name], {}, lambda *_: None, lambda: False)\n"
        f"fetch('{RATINGS}')\n"
        "before = peak()\n"
        f"fetch('{BASICS}')\n"
        "print(peak() - before)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=config.ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(ended.stdout) < 12 * KIB


# Tidying.


def test_a_discarded_file_is_fetched_again(datasets, basics):
    datasets.fault("", times=1)
    datasets.fault("broken_tail", times=1)
    assert fetch()[BASICS].path.read_bytes() != basics
    assert fetch()[BASICS].path.read_bytes() != basics

    downloads.discard(BASICS)

    assert folder() == []
    assert fetch()[BASICS].path.read_bytes() == basics


def test_files_that_are_not_needed_are_swept(datasets):
    fetch(BASICS, RATINGS)
    datasets_dir = config.current.datasets_dir
    (datasets_dir / ".tmp-0123456789abcdef").write_bytes(b"x")
    (datasets_dir / "title.crew.tsv.gz.part").write_bytes(b"x")

    downloads.sweep()
    assert folder() == [
        "title.basics.tsv.gz",
        "title.basics.tsv.gz.json",
        "title.crew.tsv.gz.part",
        "title.ratings.tsv.gz",
        "title.ratings.tsv.gz.json",
    ]
    downloads.sweep(keep=(BASICS,))
    assert folder() == ["title.basics.tsv.gz", "title.basics.tsv.gz.json"]
    downloads.clear()
    assert not datasets_dir.exists()
    downloads.clear()


def test_a_dataset_that_somebody_put_there_is_not_swept():
    datasets_dir = config.current.datasets_dir
    datasets_dir.mkdir()
    (datasets_dir / "title.basics.tsv.gz").write_bytes(b"x")
    (datasets_dir / "title.ratings.tsv.gz.part").write_bytes(b"x")
    assert [path.name for path in downloads.left()] == ["title.ratings.tsv.gz.part"]
    downloads.clear()
    assert folder() == ["title.basics.tsv.gz"]
