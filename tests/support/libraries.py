"""Libraries for tests: as documents, and as rows."""

import json

from mm import models
from mm.database import db
from mm.models import Movie, User
from mm.services import portable, shown_titles

T = 1_771_000_000.0
HARD_NAMES = (
    "Oscar/Winner",
    "/Bob",
    "Bob",
    "a/b/stats",
    "a//b",
    "x/",
    "007",
    "%2F",
    "مريم",
    "שָׁלוֹם",
    "👩‍🚀 Ada",
    "<b>Bold</b>",
    'O\'Brien "Bo"',
    "Straße",
    "a" * 500,
)


def film(number=1, **values):
    return {
        "imdb_id": f"tt{number:07d}",
        "title": None,
        "year": None,
        "media_type": "movie",
        "status": "toWatch",
        "custom_list_id": None,
        "date_added": T,
        "last_modified": T,
        "note": None,
        "recommendations": [],
        "watch_history": None,
        **values,
    }


def watch(date=T, rating=8.5, note=None, day_known=True):
    return {"date_watched": date, "my_rating": rating, "note": note, "day_known": day_known}


def seen(number=1, rating=8.5, date=T, **values):
    seen_once = {"status": "watched", "watch_history": watch(date, rating)}
    return film(number, **{**seen_once, **values})


def person(name="Alice", **values):
    return {
        "name": name,
        "is_trusted": False,
        "color": "#0a84ff",
        "emoji": None,
        "quick_key": None,
        "last_modified": T,
        **values,
    }


def custom_list(list_id="list-1", name="Favourites", **values):
    return {
        "id": list_id,
        "name": name,
        "color": "#ff0000",
        "icon": "star",
        "position": 0,
        "created_at": T,
        "last_modified": T,
        "description": None,
        "films": [],
        **values,
    }


def listed(*numbers, **notes):
    """The films of a list: `film(number)` for each, and as `tt0000001="…"` the list's own note."""
    ids = [f"tt{number:07d}" for number in numbers]
    return [{"imdb_id": imdb_id, "note": notes.get(imdb_id)} for imdb_id in ids]


def view(name="Unseen", filters=None, **values):
    return {"name": name, "filters": filters or {}, "position": 0, "last_modified": T, **values}


def ranking(number=1, position=1, liked=True, date=T):
    """A place of `seen(number)`."""
    return {
        "imdb_id": f"tt{number:07d}",
        "liked": liked,
        "position": position,
        "ranked_at": date,
    }


def vote(name, up=True, date=T):
    return {"person_name": name, "date_recommended": date, "vote_type": up}


def document(movies=(), people=(), lists=(), **values):
    return {
        "version": 2,
        "exported_at": T,
        "movies": list(movies),
        "people": list(people),
        "lists": list(lists),
        **values,
    }


def as_before(library):
    """The library as version 0.1.0 wrote it."""
    before = json.loads(json.dumps(library))
    for row in before["movies"]:
        watches = [*row.get("watches", []), *filter(None, [row["watch_history"]])]
        for each in [row, *watches]:
            for name in ("title", "year", "note", "day_known"):
                each.pop(name, None)
    for row in before["lists"]:
        del row["description"], row["films"]
    return before


def hard_document():
    """Everything a library can hold that is hard to keep."""
    quick = [
        person(
            "Random YouTube Video 2",
            quick_key="youtube",
            color="#bf5af2",
            emoji="📺",
            is_trusted=True,
        ),
        # Two that swapped their names, and an ordinary person under a name that was given up.
        person("Random Person", quick_key="oscar", color="#ffd60a", emoji="🏆"),
        person("Oscar Winner/Nominee", quick_key="random_person", color="#30d158", emoji="🤝"),
        person("Google Search", quick_key="google", color="#64d2ff", emoji="🔎"),
        person("Random YouTube Video", is_trusted=True, last_modified=T - 0.125),
    ]
    repeated = [
        watch(T - 9e6, None, "With Ada.\r\n\tTwice\n"),
        watch(T - 5, None, day_known=False),
        watch(T, 1.0),
    ]
    movies = [
        film(
            1,
            recommendations=[
                vote(name, up=index % 2 == 0, date=T - index)
                for index, name in enumerate(sorted(HARD_NAMES))
            ],
            note=" \u2028spaces\n\n“quotes” 👩‍🚀 ",
            title='Ä <b>film</b> & "more"',
            year=1870,
        ),
        seen(2, rating=None, title="7", year=2200),
        seen(3, rating=1.0, watches=repeated),
        seen(4, rating=9.7, status="custom", custom_list_id="list-2", note="n" * 10_000),
        film(5, status="custom", custom_list_id="list-1", year=1999),
        film(6, status="deleted", media_type=None, date_added=-2e9, last_modified=T - 1),
        seen(7, rating=10.0, date=-3e9, media_type="tv"),
        film(
            12345678,
            recommendations=[vote("Oscar Winner/Nominee", up=False), vote("Random YouTube Video")],
        ),
    ]
    people = sorted(
        [*quick, *(person(name, emoji="🎬") for name in HARD_NAMES)], key=lambda row: row["name"]
    )
    lists = [
        # A film that is deleted, one that is watched, and an order of its own.
        custom_list("list-1", films=listed(7, 5, 6, 12345678, tt0000006="Gone,\nbut noted")),
        custom_list(
            "list-2",
            color="#00FF00",
            icon="❤",
            films=listed(5, 4, tt0000004="First"),
            created_at=-1.0,
        ),
        custom_list(
            "list-3",
            "  ÄÖ".strip(),
            position=7,
            last_modified=0.0,
            description="One\r\n\r\n🎬 two ",
        ),
    ]
    views = [
        view("Grüße / 笑", {"genre": ["Comedy", "Drama"], "not_genre": "Horror", "q": "a&b=ü"}),
        view("Later", position=3, last_modified=T - 1),
        view("Theirs", {"list": "list-2", "person": "/Bob"}, position=4),
        view(
            "Not theirs",
            {
                "list": ["list-1", "list-3"],
                "not_list": "list-2",
                "not_person": ["/Bob", "007", "Google Search"],
                "person": ["<b>Bold</b>", "Random Person"],
            },
            position=5,
        ),
    ]
    rankings = [
        ranking(7, date=-3e9),
        ranking(2, 2),
        ranking(3, liked=False, date=T + 0.25),
    ]
    return document(movies, people, lists, views=views, rankings=rankings)


def many(count, votes_each=0, start=1):
    """A library of `count` films, every second one watched."""
    voters = [f"Person {number}" for number in range(20)]
    movies = []
    for number in range(start, start + count):
        votes = [vote(voters[(number * 7 + index) % 20]) for index in range(votes_each)]
        votes.sort(key=lambda row: row["person_name"])
        row = seen(number, rating=1 + number % 10) if number % 2 else film(number)
        movies.append({**row, "recommendations": votes})
    return document(movies)


def as_bytes(library):
    return json.dumps(library).encode()


def put(user, library, conflicts="overwrite"):
    """Import without a safety backup; returns the plan that was applied."""
    plan = portable.plan(user.id, portable.read(as_bytes(library)), conflicts)
    portable.apply(plan)
    return plan


def export(user, exported_at=T):
    return portable.encode(portable.dump(user.id, exported_at=exported_at))


def exported(user):
    """The library as a dict, films by imdb_id, people and lists by name and id."""
    document = json.loads(export(user))
    return {
        "movies": {row["imdb_id"]: row for row in document["movies"]},
        "people": {row["name"]: row for row in document["people"]},
        "lists": {row["id"]: row for row in document["lists"]},
    }


def hint(user, imdb_id, title=None, year=None):
    """Give a film in the library a title and a year of its user's own, as an import does."""
    texts = {"hint_title": title, "search_text": shown_titles.search_text(title, None)}
    film = (Movie.user == user.id) & (Movie.title == imdb_id)
    Movie.update(hint_year=year, **texts).where(film).execute()


def reload(user):
    return User.get_by_id(user.id)


def fresh_account(name):
    """An account as a new one is, without the slow hashing of a password."""
    user = User.create(
        email=name, email_key=name, username=name, username_key=name, password_hash="", created_at=T
    )
    models.add_quick_recommenders(db.obj, user.id, T, models.next_update(db.obj))
    return user
