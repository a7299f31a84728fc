"""The original Movie Manager's `app.db`, made from its schema, with `backups/` beside it.

`make_original(path)` returns what is in it: `users` by id, each with email, username, password and
`library`, the v2 document that the rows stand for; `backups` by user id, the names; `named`, the
tables and rows that a sentence must be about.
"""

import functools
import hashlib
import json
import random
import sqlite3
import uuid
from datetime import UTC, datetime
from pathlib import Path

from mm import config

SCHEMA = config.ROOT / "tests" / "fixtures" / "original" / "schema.sql"
BEGUN = 1_740_000_000.0
STATUSES = ("toWatch", "watched", "custom", "deleted")
QUICK = (("youtube", "Random YouTube Video"), ("oscar", "Oscar Winner/Nominee"))


@functools.cache
def password_hash(password, salt):
    """As the original made it: both halves are 64 hex characters, and the salt is used as text."""
    found = hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), 100_000)
    return f"{salt}${found.hex()}"


def make_original(
    path, version="head", users=3, films=200, seed=1, hostile=False, backups=3, bodies=0
):
    """`version`: "head" or "0bb39be", which has no rankings. `bodies`: so many characters of a
    film's data from TMDB."""
    chance = random.Random(seed)
    made = {"users": {}, "backups": {}, "named": []}
    connection = sqlite3.connect(path)
    connection.executescript(SCHEMA.read_text())
    if version != "head":
        connection.execute("DROP TABLE movie_rankings")
    for number in range(users):
        user = _add_user(connection, chance, number)
        user["library"] = _add_library(connection, chance, user, films, version, bodies)
        made["users"][user["id"]] = user
        folder = Path(path).parent / "backups" / user["id"]
        made["backups"][user["id"]] = _add_backups(folder, user["library"], backups)
    if hostile:
        made["named"] = _add_hostile_rows(connection, list(made["users"].values()))
    connection.commit()
    connection.close()
    return made


def _add_user(connection, chance, number):
    user = {
        "id": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        "username": f"user{number}",
        "email": f"user{number}@example.org",
        "password": f"old pass {number}",
        "created_at": BEGUN + number * 1000.5,
        "is_active": True,
        "backup_enabled": number % 2 == 0,
    }
    salt = f"{chance.getrandbits(256):064x}"
    add_rows(
        connection,
        "users",
        {
            **{key: user[key] for key in user if key != "password"},
            "hashed_password": password_hash(user["password"], salt),
        },
    )
    return user


def _add_library(connection, chance, user, films, version, bodies):
    """The document that these rows are, as an export has them: without what is null there."""
    mine = {"user_id": user["id"]}
    people, ids = [], []
    names = [*QUICK, *((None, f"Person {number}") for number in range(6))]
    for quick_key, name in names:
        person = {
            "name": name,
            "is_trusted": chance.random() < 0.5,
            "color": f"#{chance.getrandbits(24):06x}",
            "emoji": chance.choice(["🎬", None]) if quick_key is None else "🍿",
            "quick_key": quick_key,
            "last_modified": moment(chance),
        }
        people.append(person)
        ids.append(add_rows(connection, "people", {**person, **mine}))
    lists = []
    for position in range(3):
        row = {
            "id": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
            "name": ["Favourites", "Favourites", "Later"][position],
            "color": f"#{chance.getrandbits(24):06x}",
            "icon": chance.choice(["star", "heart"]),
            "position": position,
            "created_at": moment(chance),
            "last_modified": moment(chance),
        }
        lists.append(row)
        add_rows(connection, "custom_lists", {**row, **mine})
    movies, watched = [], []
    for number in range(films):
        key = {"imdb_id": f"tt{1_000_000 + number * 7:07d}", **mine}
        movie = {
            "imdb_id": key["imdb_id"],
            "title": f"Film {number}",
            "year": 1950 + number % 70,
            "media_type": chance.choice(["movie", "movie", "tv"]),
            "status": chance.choice(STATUSES),
            "custom_list_id": None,
            "last_modified": moment(chance),
            "watch_history": None,
        }
        # Of series TMDB has other names for both.
        names = ("title", "release_date") if number % 2 else ("name", "first_air_date")
        body = {names[0]: movie["title"], names[1]: f"{movie['year']}-05-01", "x": "x" * bodies}
        if number % 3 == 0:
            body = {"title": movie["title"], "year": str(movie["year"]), "x": "x" * bodies}
        add_rows(
            connection,
            "movies",
            {
                **key,
                "tmdb_data": json.dumps(body),
                "omdb_data": '{"Title": "ignored"}',
                "media_type": movie["media_type"],
                "last_modified": movie["last_modified"],
            },
        )
        if movie["status"] == "custom":
            movie["custom_list_id"] = chance.choice(lists)["id"]
        add_rows(
            connection,
            "movie_status",
            {**key, "status": movie["status"], "custom_list_id": movie["custom_list_id"]},
        )
        votes = []
        for index in chance.sample(range(len(people)), chance.randrange(4)):
            vote = {"date_recommended": moment(chance), "vote_type": chance.random() < 0.8}
            add_rows(connection, "recommendations", {**key, **vote, "person_id": ids[index]})
            votes.append({"person_name": people[index]["name"], **vote})
        movie["recommendations"] = sorted(votes, key=lambda vote: vote["person_name"])
        dates = [vote["date_recommended"] for vote in votes]
        movie["date_added"] = min(dates, default=movie["last_modified"])
        if movie["status"] == "watched":
            watch = {"date_watched": moment(chance), "my_rating": chance.randrange(10, 101) / 10}
            add_rows(connection, "watch_history", {**key, **watch})
            movie["watch_history"] = watch
            watched.append(key)
        movies.append(movie)
    rankings = []
    if version == "head":
        for number, key in enumerate(watched):
            row = {"liked": number % 3 > 0, "ranked_at": moment(chance)}
            row["position"] = 1 + sum(each["liked"] == row["liked"] for each in rankings)
            add_rows(connection, "movie_rankings", {**key, **row, "score": 7.5})
            rankings.append({"imdb_id": key["imdb_id"], **row})
    return {"movies": movies, "people": people, "lists": lists, "rankings": rankings}


def _add_backups(folder, library, count):
    """The last two of one day, which has one for an hour too."""
    names = [f"2026-02-{10 + number:02d}.json" for number in range(count - 1)]
    names += [f"2026-02-{9 + max(count - 1, 1):02d}_18.json"][:count]
    for number, name in enumerate(names):
        folder.mkdir(parents=True, exist_ok=True)
        day = datetime.fromisoformat(name[:10]).replace(tzinfo=UTC).timestamp()
        exported_at = day + (18 if "_18" in name else 12) * 3600 + 5
        backup = {"version": 2, "exported_at": exported_at, "people": library["people"]}
        backup |= {"movies": library["movies"][: 5 + number], "lists": library["lists"]}
        (folder / name).write_text(json.dumps(backup))
    return names


def _add_hostile_rows(connection, users):
    """Rows that SQLite lets in and the original may have left behind. Nothing of what
    `_add_library` made is changed."""
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("PRAGMA ignore_check_constraints = ON")
    first, second = users[0]["id"], users[1]["id"]
    named = []

    def add(table, is_named=True, **values):
        rowid = add_rows(connection, table, values)
        if is_named:
            named.append(f"{table} row {rowid}")
        return rowid

    def film(imdb_id, **values):
        row = {"imdb_id": imdb_id, "user_id": first, "media_type": "movie", "last_modified": BEGUN}
        return add("movies", values.pop("is_named", False), **{**row, **values})

    mine = {"user_id": first}
    # Of nobody, of somebody else, and of nothing.
    add("movies", imdb_id="tt9000001", user_id="gone", media_type="movie")
    add("people", name="Nobody's", user_id="gone")
    add("movie_status", imdb_id="tt9000002", **mine, status="watched")
    add("watch_history", imdb_id="tt9000003", **mine, date_watched=BEGUN, my_rating=8)
    film("tt9000004")
    add("recommendations", imdb_id="tt9000004", **mine, person_id=987_654, vote_type=1)
    of_second = add("people", False, name="Somebody else's", user_id=second)
    add("recommendations", imdb_id="tt9000004", **mine, person_id=of_second, vote_type=1)
    add("recommendations", imdb_id="tt9000005", **mine, person_id=1, vote_type=1)
    # Ids and values that cannot be.
    film("not an id", is_named=True)
    film(" TT9000004 ", is_named=True)
    film("tt9000006", is_named=True, last_modified="yesterday", media_type=b"\xff")
    film("tt9000007")
    add("watch_history", imdb_id="tt9000007", **mine, date_watched=BEGUN * 1000, my_rating=11)
    film("tt9000008")
    add("watch_history", imdb_id="tt9000008", **mine, date_watched="long ago", my_rating="good")
    film("tt9000009")
    add("movie_status", imdb_id="tt9000009", **mine, status="custom", custom_list_id="gone")
    film("tt9000010")
    add("movie_status", imdb_id="tt9000010", **mine, status="wanted")
    # One person, written in two ways, who voted twice.
    ids = [
        add("people", number > 0, name=name, color="blue" if number else None, **mine)
        for number, name in enumerate(["Zoë", "ZOË"])
    ]
    film("tt9000011")
    vote = {"imdb_id": "tt9000011", **mine, "date_recommended": BEGUN}
    add("recommendations", False, **vote, person_id=ids[0], vote_type=1)
    add("recommendations", **vote, person_id=ids[1], vote_type=0)
    film("tt9000012")
    add("recommendations", False, **vote | {"imdb_id": "tt9000012"}, person_id=ids[1], vote_type=1)
    nameless = add("people", name="line\nend", **mine)
    add("recommendations", imdb_id="tt9000012", **mine, person_id=nameless, vote_type="maybe")
    add("custom_lists", id="a/b", name="", position="first", **mine)
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'movie_rankings'").fetchone():
        rank = {**mine, "score": 1.0}
        add("movie_rankings", imdb_id="tt9000004", liked=1, position=9001, **rank)
        add("movie_rankings", imdb_id="tt9000099", liked=1, position=9002, **rank)
    return named


def add_rows(connection, table, values):
    """Returns the rowid."""
    marks = ", ".join("?" * len(values))
    query = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})"
    return connection.execute(query, list(values.values())).lastrowid


def moment(chance):
    return BEGUN + chance.randrange(40_000_000) + 0.25
