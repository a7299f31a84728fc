"""A whole server for tests: filled with everything it can hold, asked through the JSON API, and
read row by row."""

import contextlib
import hashlib
import json
import re
import sqlite3
import time

import requests

from mm import clock, config, models
from mm.database import db, update_rows
from mm.models import (
    CustomList,
    EndedSession,
    ListShare,
    Movie,
    SyncAction,
    Title,
    TmdbLink,
    Tombstone,
    User,
    UserSetting,
    Watch,
)
from mm.schemas import ArchiveSchedule
from mm.services import accounts, settings
from mm.services.enrichment import posters, title_json
from tests.support.libraries import T, document, film, hard_document, many, put, seen

PASSWORD = "correct horse battery"
PATIENCE = 600
# Tables that a restore does not bring back as they were, and columns that it may change.
NOT_RESTORED = {"job", "undo_step", "sqlite_sequence", "sqlite_stat1", "sqlite_stat4"}
MARKS = {"token_version", "updated_at"}
# Settings that tell of one server and its files: they keep the live values. And marks of work that
# the worker may go on with at once.
LIVE_SETTINGS = (
    "clock",
    "epoch",
    "worker_seen_at",
    "rechecked_at",
    "tidied_at",
    "rechecks.damaged",
    "health_checked_at",
    "omdb.calls",
    "provider.",
    "problem.",
    "archives.",
    "posters.",
    "title_json.",
)
GENERATION = re.compile(rb"generation (\d+)")
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"


class Api:
    """`ask` returns the body of an answer and insists on its status. `url` is the server's."""

    def __init__(self, url, name=None, password=PASSWORD):
        self.url = url
        self.session = requests.Session()
        if name:
            self.log_in(name, password)

    def log_in(self, name, password=PASSWORD):
        answer = self.try_to_log_in(name, password)
        assert answer.ok, answer.text

    def try_to_log_in(self, name, password=PASSWORD):
        self.session.headers.pop("Authorization", None)
        answer = self.send("POST", "/auth/login", json={"email": name, "password": password})
        if answer.ok:
            self.session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return answer

    def send(self, method, path, **sent):
        return self.session.request(method, f"{self.url}/api{path}", timeout=60, **sent)

    def ask(self, method, path, status=200, **sent):
        answer = self.send(method, path, **sent)
        assert answer.status_code == status, (method, path, answer.status_code, answer.text[:500])
        is_json = "json" in answer.headers.get("Content-Type", "")
        return answer.json() if is_json and answer.content else answer.content

    def archive(self, **parts):
        """Make an archive that stays; its entry in the list once it is verified."""
        accepted = self.ask("POST", "/v1/system/backup", 202, json={"keep": True, **parts})
        job = self.wait_for(accepted["job"])
        assert job["state"] == "done", job
        return self.entry(accepted["timestamp"])

    def entry(self, timestamp):
        return next(row for row in self.archives() if row["timestamp"] == timestamp)

    def verify(self, timestamp):
        """Test-restore an archive again; its entry in the list then."""
        accepted = self.ask("POST", f"/v1/system/backup/{timestamp}/verify", 202)
        self.wait_for(accepted["job"])
        return self.entry(timestamp)

    def archives(self):
        return self.ask("GET", "/v1/system/backup/list")["archives"]

    def restore(self, timestamp=None, file=None):
        """Start a restore of one of the list, or of a file sent along; the answer."""
        form = {"confirm": True} | ({"timestamp": timestamp} if timestamp else {})
        sent = {"data": form, "files": {"file": file}} if file else {"json": form}
        return self.ask("POST", "/v1/system/restore", 202, **sent)

    def wait_for(self, job_id):
        """A job of the server, once it has ended."""
        return until_ended(lambda: self.ask("GET", f"/v1/system/jobs/{job_id}"))


def outcome(accepted, url):
    """Of a restore, from the address that needs no log-in, once it has ended. `accepted`: what the
    restore was answered with."""
    anybody = Api(url)
    found = until_ended(lambda: anybody.ask("GET", accepted["outcome_url"].removeprefix("/api")))
    assert requests.get(url + accepted["page_url"], timeout=60).status_code == 200
    return found


def until_ended(look):
    deadline = time.monotonic() + PATIENCE
    while (found := look())["state"] in ("queued", "running"):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


def fill(films):
    """Three users with libraries, and a row in every table, in the database in use. `films`: about
    how many titles. The first user is an administrator; returns the users."""
    users = [
        accounts.create(f"{name}@example.org", name, f"{PASSWORD} of {name}")
        for name in ("ann", "bo", "cy")
    ]
    ann, bo, cy = users
    User.update(is_admin=True, keep_weekly=5).where(User.id == ann.id).execute()
    # Nothing is due, so that the worker changes nothing while rows are compared.
    now = clock.now()
    User.update(last_completed_at=now, backup_enabled=True).where(User.id == bo.id).execute()
    put(ann, hard_document())
    put(bo, many(films, votes_each=2, start=100))
    put(cy, many(films // 3, votes_each=1, start=100 + films // 2))
    fill_titles()
    rest_of_the_tables(users)
    settings.put_archives(ArchiveSchedule(time="05:30", days=["sun"], keep_last=3))
    while title_json.build_missing():
        pass
    return users


def fill_titles():
    now = clock.now()
    ids = [imdb_id for (imdb_id,) in Title.select(Title.imdb_id).tuples()]
    fields = (
        Title.tmdb_id,
        Title.title,
        Title.year,
        Title.genres,
        Title.search_text,
        Title.poster_path,
        Title.tmdb_state,
        Title.omdb_state,
        Title.tmdb_fetched_at,
        Title.omdb_fetched_at,
        Title.tmdb_body,
        Title.omdb_body,
    )
    rows = (
        (
            number,
            f"Film {number}",
            1950 + number % 70,
            '["Drama"]',
            f"film {number} drama",
            f"/poster{number}.jpg",
            "ready",
            "ready",
            now,
            now,
            json.dumps({"id": number, "title": f"Film {number}", "overview": "text " * 50}),
            json.dumps({"imdbRating": "7.1", "Response": "True"}),
            imdb_id,
        )
        for number, imdb_id in enumerate(ids, start=1)
    )
    with db.atomic():
        update_rows(db, fields, [Title.imdb_id], rows)
    folder = config.current.posters_dir / posters.GRID
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, len(ids) + 1):
        (folder / f"poster{number}.jpg").write_bytes(JPEG + number.to_bytes(4) * 500)


def rest_of_the_tables(users):
    """Rows that no import writes."""
    now = clock.now()
    with db.atomic():
        for user in users:
            UserSetting.create(user=user.id, key="grid.size", value='"large"')
            Tombstone.create(
                user=user.id,
                kind="movie",
                key="tt9999999",
                deleted_at=now,
                updated_at=models.next_update(db.obj),
            )
            answer = {"success": True, "last_modified": now}
            SyncAction.create(
                user=user.id, action_key=f"{user.id}-1", answer=answer, created_at=now
            )
        EndedSession.create(key="ended", ended_at=now)
        shown = CustomList.select().order_by(CustomList.pk).first()
        ListShare.create(token="a-link", custom_list=shown, shows_notes=True, created_at=now)
        # Two films whose page at TMDB was chosen by hand.
        for title in Title.select(Title.imdb_id, Title.tmdb_id).order_by(Title.imdb_id).limit(2):
            TmdbLink.create(title=title.imdb_id, tmdb_id=title.tmdb_id, media_type="movie")


def rows_of(path):
    """{table: its rows as sorted texts}, without what a restore does not bring back. `path`: of a
    database that may be in use."""
    found = {}
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as database:
        database.execute("BEGIN")
        tables = database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        for (table,) in tables:
            if table not in NOT_RESTORED:
                found[table] = rows_of_table(database, table)
    return found


def rows_of_table(database, table):
    names = [name for _, name, *_ in database.execute(f'PRAGMA table_info("{table}")')]
    kept = [name for name in names if name not in MARKS]
    columns = ", ".join(f'"{name}"' for name in kept)
    rows = [
        dict(zip(kept, row, strict=True))
        for row in database.execute(f'SELECT {columns} FROM "{table}"')
    ]
    if table == "setting":
        rows = [row for row in rows if not row["key"].startswith(LIVE_SETTINGS)]
    return sorted(json.dumps(row, default=repr) for row in rows)


def world_of(path):
    """{table: the digest of its rows}, without the marks of the worker's regular work."""
    rows = rows_of(path)
    rows["setting"] = [row for row in rows["setting"] if '"key": "server.' in row]
    return {
        table: hashlib.sha256("".join(texts).encode()).hexdigest()[:12]
        for table, texts in rows.items()
    }


def order_of_changes(path):
    """{table: its ids in the order of `updated_at`}: what phones have, and what comes next."""
    keys = {"movie": "id", "person": "id", "custom_list": "pk", "saved_view": "pk"}
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as database:
        return {
            table: database.execute(
                f"SELECT {key} FROM {table} ORDER BY updated_at, {key}"
            ).fetchall()
            for table, key in keys.items()
        }


def files_of(folder):
    """{path in the folder: its bytes}."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def fault_of(path):
    """What `PRAGMA integrity_check` and `foreign_key_check` say; "ok" for nothing."""
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as database:
        [answer] = database.execute("PRAGMA integrity_check(3)").fetchall() or [("ok",)]
        broken = database.execute("PRAGMA foreign_key_check").fetchall()
    return answer[0] if not broken else f"{answer[0]}; {broken[:3]}"


def left_in_tmp(data_dir):
    """What archives and restores left behind, but for the lists of what came of them."""
    folder = data_dir / "tmp"
    names = [path.name for path in folder.iterdir()] if folder.exists() else []
    prefixes = ("archive-", "restore-", "upload-", ".tmp-")
    return sorted(name for name in names if name.startswith(prefixes))


def drafts_in(folder):
    return [str(path) for path in folder.rglob(".*") if path.is_file()] if folder.exists() else []


def make_generations(users, films):
    """Films that carry `generation 0` in their title, note and watch, for `write_generation`, and
    as many others without."""
    for user in users:
        kept = [film_of_generation(number) for number in range(films)]
        others = [film(2_000_000 + number) for number in range(films)]
        put(user, document([*kept, *others]))
    # Nothing is looked up.
    Title.update(tmdb_state="missing", omdb_state="missing").execute()
    write_generation(users, 0)


def film_of_generation(number):
    # On the first page of the library, which shows what was added last.
    return seen(1_000_000 + number, title="generation 0", year=2000, date_added=T + 1000)


def write_generation(users, generation):
    """In one transaction: any answer that names two generations shows rows of two moments."""
    text = f"generation {generation}"
    ids = [user.id for user in users]
    kept = Movie.user.in_(ids) & Movie.title.startswith("tt1")
    with db.atomic():
        updated_at = models.next_update(db.obj)
        values = {"note": text, "hint_title": text, "search_text": text, "updated_at": updated_at}
        Movie.update(values).where(kept).execute()
        Watch.update(note=text).where(Watch.movie.in_(Movie.select(Movie.id).where(kept))).execute()
        for user_id in ids:
            models.touch_library(db.obj, user_id)


def generations_in(body):
    """Of an answer's bytes."""
    return set(GENERATION.findall(body))
