"""From an empty folder to the first film in a browser, after `make run` and nothing else; and back
with what one has: an archive, an export of all libraries, the database of the original."""

import contextlib
import os
import signal
import subprocess
import time

import pytest
import requests
from playwright.sync_api import expect

from mm import config
from mm.database import db
from mm.services import accounts
from tests.support import standin as providers
from tests.support.libraries import many, put
from tests.support.original import make_original
from tests.support.processes import end_group, environment_of, free_port, running
from tests.support.whole_server import Api

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.slow]

NAME, EMAIL, PASSWORD = "Ann", "ann@example.org", "correct horse battery"
KEY = "0123456789abcdef0123456789abcdef"
TITLE = "Nine Ways to Boil an Egg"
START_SECONDS = 60
LOG_IN = {"name": "Log in"}
# Of the page to the first film, `make run` not counted.
CLICKS_MAX = 9


class MadeRun:
    """`make run` on a data folder of its own."""

    def __init__(self, folder, standin):
        port = free_port()
        self.url, self.data_dir = f"http://127.0.0.1:{port}", folder / "data"
        self.log = folder / "make.log"
        own = {"MM_ALLOW_ROOT": "1", **standin.environ}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["make", "run"],
                cwd=config.ROOT,
                env=environment_of(self.data_dir, port, own),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait_until_it_answers()
        except AssertionError:
            end_group(self.process)
            raise

    def _wait_until_it_answers(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(requests.ConnectionError):
                requests.get(f"{self.url}/setup", timeout=60)
                return
            time.sleep(0.1)
        raise AssertionError(f"make run did not start:\n{self.log.read_text()}")

    def end(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGINT)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            end_group(self.process)
        print(self.log.read_text()[-6000:])


@pytest.fixture
def made_run(tmp_path):
    with providers.running() as standin:
        run = MadeRun(tmp_path, standin)
        yield run
        run.end()


class Hand:
    """Counts its clicks."""

    def __init__(self):
        self.clicks = 0

    def click(self, target):
        target.click()
        self.clicks += 1


@pytest.mark.parametrize(("size", "scheme"), [("desk", "light"), ("phone", "dark")])
def test_make_run_and_a_browser_are_all_it_takes(made_run, visit, size, scheme):
    printed = made_run.log.read_text()
    assert made_run.url in printed
    visitor, hand = visit(size, scheme), Hand()
    page = visitor.page
    page.goto(made_run.url)
    expect(page).to_have_url(f"{made_run.url}/setup")
    assert visitor.accessibility_faults() == []
    page.get_by_label("Username").fill(NAME)
    page.get_by_label("Email").fill(EMAIL)
    page.get_by_label("Password").fill(PASSWORD)
    hand.click(page.get_by_role("button", name="Create account"))

    # A wrong key is told from a right one, in the provider's own words.
    key = page.get_by_label("TMDB key")
    test = page.get_by_role("button", name="Test key").first
    key.fill("bad")
    test.click()
    expect(page.locator("#key-test-tmdb")).to_contain_text("rejected the key")
    key.fill(KEY)
    hand.click(test)
    expect(page.locator("#key-test-tmdb")).to_contain_text("accepted")
    assert visitor.accessibility_faults() == []
    hand.click(page.get_by_role("button", name="Continue"))

    for box in page.get_by_role("checkbox").all():
        expect(box).to_be_checked()
    assert visitor.accessibility_faults() == []
    hand.click(page.get_by_role("button", name="Continue"))

    # Nothing is fetched unasked, and what it takes stands there before one asks.
    expect(page.get_by_role("main")).to_contain_text("personal and non-commercial use")
    assert visitor.accessibility_faults() == []
    hand.click(page.get_by_role("link", name="Skip for now"))
    expect(page).to_have_url(f"{made_run.url}/add")
    assert not (made_run.data_dir / "datasets").exists()

    page.get_by_role("searchbox").fill(TITLE)
    hand.click(page.get_by_role("link", name=TITLE))
    hand.click(page.get_by_role("button", name="Add to library"))
    expect(page.locator("#toasts")).to_contain_text(TITLE)
    assert hand.clicks <= CLICKS_MAX

    # Nothing of the set-up is left, and the key is nowhere but in its file.
    assert requests.get(f"{made_run.url}/setup", timeout=60).status_code == 404
    assert not (made_run.data_dir / "setup_code").exists()
    assert KEY in (made_run.data_dir / "settings.json").read_text()
    holding = [
        path.relative_to(made_run.data_dir)
        for path in made_run.data_dir.rglob("*")
        if path.is_file() and KEY.encode() in path.read_bytes()
    ]
    assert [str(path) for path in holding] == ["settings.json"]
    assert KEY not in made_run.log.read_text()


def test_the_server_comes_back_from_an_archive(made_run, visit, tmp_path):
    with running(tmp_path / "old" / "data", TZ="Europe/Berlin") as old:
        with db.connection_context():
            accounts.create(EMAIL, NAME, PASSWORD, is_admin=True)
            put(accounts.create("bea@example.org", "bea", f"{PASSWORD} of bea"), many(12))
        made = old.flask("server-backup", "create", "-o", str(tmp_path / "old.zip"))
        assert made.returncode == 0, made.stderr
    page = choose(visit("desk", "dark"), made_run, tmp_path / "old.zip")
    expect(page.get_by_role("heading", name="An archive of a whole server")).to_be_visible()
    page.get_by_role("button", name="Restore this archive").click()
    expect(page.get_by_role("heading", name="The server is restored")).to_be_visible()
    expect(page.locator("#outcome")).to_contain_text("2 accounts with 12 films")
    page.get_by_role("link", **LOG_IN).click()
    log_in(page, "bea", f"{PASSWORD} of bea")
    assert len(films_of(made_run, EMAIL, PASSWORD)) == 0
    assert len(films_of(made_run, "bea", f"{PASSWORD} of bea")) == 12
    # The old server's own zone is the new one's now.
    assert "Europe/Berlin" in (made_run.data_dir / "settings.json").read_text()


def test_everybody_comes_back_from_an_export_of_all_libraries(made_run, visit, tmp_path):
    exported = tmp_path / "all.json"
    with running(tmp_path / "old" / "data") as old:
        with db.connection_context():
            accounts.create(EMAIL, NAME, PASSWORD, is_admin=True)
            put(accounts.create("bea@example.org", "bea", f"{PASSWORD} of bea"), many(12))
        assert old.flask("export-all", str(exported)).returncode == 0
    page = choose(visit("phone", "light"), made_run, exported)
    expect(page.locator("dl")).to_contain_text("12")
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_role("region", name="Imported users")).to_contain_text("bea")
    page.get_by_role("link", **LOG_IN).click()
    log_in(page, "bea", f"{PASSWORD} of bea")
    assert len(films_of(made_run, "bea", f"{PASSWORD} of bea")) == 12


@pytest.mark.parametrize("version", ["head", "0bb39be"])
def test_the_original_moves_in(made_run, visit, tmp_path, version):
    """From data/original/ on the server, with its backups; everybody logs in as before."""
    folder = made_run.data_dir / "original"
    folder.mkdir()
    made = make_original(folder / "app.db", version=version, hostile=version == "head")
    visitor = visit("desk" if version == "head" else "phone")
    page = visitor.page
    page.goto(made_run.url)
    page.get_by_role("button", name="Open: Database of the original Movie Manager").click()
    expect(page.get_by_role("heading", name="original Movie Manager")).to_be_visible()
    users = list(made["users"].values())
    page.get_by_role("radio", name=users[1]["username"]).check()
    assert visitor.accessibility_faults() == []
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_role("region", name="Imported users")).to_contain_text(users[0]["username"])
    assert visitor.accessibility_faults() == []
    # Folded, where there are many.
    told = page.locator("main").text_content()
    for beginning in made["named"]:
        assert beginning in told
    page.get_by_role("link", **LOG_IN).click()
    log_in(page, users[0]["email"], users[0]["password"])
    for number, user in enumerate(users):
        api = Api(made_run.url, user["email"], user["password"])
        # The first one's hostile rows come beside them, as far as they can be used.
        here, there = statuses(api.ask("GET", "/backup/export")), statuses(user["library"])
        assert there.items() <= here.items()
        assert number == 0 or here == there
        listed = api.ask("GET", "/backup/list")["backups"]
        assert len(listed) == len(made["backups"][user["id"]])
        assert {entry["state"] for entry in listed} == {"verified"}
        may = api.send("GET", "/auth/admin/users").status_code == 200
        assert may == (number == 1)


def choose(visitor, made_run, path):
    """The page that says what the file holds."""
    page = visitor.page
    page.goto(made_run.url)
    page.locator("#setup-file[data-htmx-powered] input[type=file]").set_input_files(path)
    expect(page).to_have_url(f"{made_run.url}/setup/found")
    assert visitor.accessibility_faults() == []
    return page


def log_in(page, name, password):
    page.get_by_label("Email or username").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", **LOG_IN).click()
    expect(page.get_by_role("heading", name="Library", exact=True)).to_be_visible()


def films_of(made_run, name, password):
    return Api(made_run.url, name, password).ask("GET", "/movies")


def statuses(document):
    return {movie["imdb_id"]: movie["status"] for movie in document["movies"]}
