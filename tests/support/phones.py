"""Simulated phones: what somebody does offline, and a local copy that only the feed keeps up to
date."""

import random
from dataclasses import dataclass, field

PEOPLE = ("Ann", "Bo", "Cy")


def queue(seed, phone, start, imdb_ids, length=200):
    """Actions some seconds apart; those of phone "b" carry ids of its own."""
    rng, moment, actions = random.Random(seed), start, []
    for number in range(length):
        moment += rng.uniform(2, 30)
        action, data = rng.choice(KINDS)(rng, rng.choice(imdb_ids), rng.choice(PEOPLE), moment)
        entry = {"action": action, "data": data, "timestamp": moment}
        actions.append(entry | {"id": f"b-{number}"} if phone == "b" else entry)
    return actions


KINDS = (
    lambda rng, film, who, at: ("addMovie", {"imdb_id": film, "recommenders": [who]}),
    lambda rng, film, who, at: (
        "addRecommendation",
        {"imdb_id": film, "person": who, "vote_type": "upvote"},
    ),
    lambda rng, film, who, at: ("removeRecommendation", {"imdb_id": film, "person": who}),
    lambda rng, film, who, at: (
        "updateRecommendationVote",
        {"imdb_id": film, "person": who, "vote_type": False},
    ),
    lambda rng, film, who, at: (
        "markWatched",
        {"imdb_id": film, "date_watched": at, "my_rating": rng.randint(1, 10)},
    ),
    lambda rng, film, who, at: ("updateRating", {"imdb_id": film, "rating": rng.randint(1, 10)}),
    lambda rng, film, who, at: (
        "updateStatus",
        {"imdb_id": film, "status": rng.choice(["toWatch", "deleted"])},
    ),
    lambda rng, film, who, at: (
        "updateStatus",
        {"imdb_id": film, "status": "custom", "custom_list_id": "l1"},
    ),
    lambda rng, film, who, at: (
        "updatePersonTrust",
        {"name": who, "is_trusted": rng.random() < 0.5},
    ),
    lambda rng, film, who, at: (
        "addPerson",
        {"name": f"{who} {rng.randint(1, 4)}", "color": "#123456"},
    ),
    lambda rng, film, who, at: ("deletePerson", {"name": f"{who} {rng.randint(1, 4)}"}),
    lambda rng, film, who, at: (
        "addList",
        {"id": f"l{rng.randint(1, 3)}", "name": f"List of {who}"},
    ),
    lambda rng, film, who, at: ("deleteList", {"id": f"l{rng.randint(1, 3)}"}),
    lambda rng, film, who, at: ("updateNote", {"imdb_id": film, "note": f"{who} at {at}"}),
    lambda rng, film, who, at: (
        "addToList",
        {"list_id": f"l{rng.randint(1, 3)}", "imdb_id": film, "note": rng.choice([who, None])},
    ),
    lambda rng, film, who, at: ("addToList", {"id": f"l{rng.randint(1, 3)}", "imdb_id": film}),
    lambda rng, film, who, at: (
        "removeFromList",
        {"list_id": f"l{rng.randint(1, 3)}", "imdb_id": film},
    ),
    lambda rng, film, who, at: (
        "reorderList",
        {"list_id": f"l{rng.randint(1, 3)}", "imdb_ids": [film]},
    ),
)


@dataclass
class Phone:
    """`ask(method, path, json)` returns the body of an answer. `listed` are the films of each list
    in its order, read whenever the feed reports the list."""

    ask: object
    since: float = 0.0
    movies: dict = field(default_factory=dict)
    people: dict = field(default_factory=dict)
    lists: dict = field(default_factory=dict)
    views: dict = field(default_factory=dict)
    listed: dict = field(default_factory=dict)

    def send(self, actions, batch=50):
        """The answers, in order."""
        parts = (actions[start : start + batch] for start in range(0, len(actions), batch))
        return [
            answer
            for part in parts
            for answer in self.ask("POST", "/api/sync/batch", {"actions": part})["results"]
        ]

    def pull(self, limit=7):
        """All pages since the last time; returns how many."""
        pages, since, offset = 0, self.since, ""
        while True:
            page = self.ask(
                "GET", f"/api/sync/changes?since={since!r}&limit={limit}&offset={offset}", None
            )
            self.take(page)
            pages += 1
            if not page["has_more"]:
                self.read_lists()
                return pages
            offset = page["next_offset"]

    def take(self, page):
        shown = {row["imdb_id"] for row in page["movies"]}
        assert not shown & set(page["deleted_movie_ids"])
        if page["reset"]:
            for copy in (self.movies, self.people, self.lists, self.views, self.listed):
                copy.clear()
        for name, key in (
            ("movies", "imdb_id"),
            ("people", "id"),
            ("lists", "id"),
            ("views", "id"),
        ):
            getattr(self, name).update({row[key]: row for row in page[name]})
        for row in page["lists"]:
            self.listed[row["id"]] = None
        for name, gone in (
            ("movies", "deleted_movie_ids"),
            ("people", "deleted_people"),
            ("lists", "deleted_lists"),
            ("listed", "deleted_lists"),
            ("views", "deleted_views"),
        ):
            for key in page[gone]:
                getattr(self, name).pop(key, None)
        self.since = max(self.since, page["server_timestamp"])

    def read_lists(self):
        for list_id, films in self.listed.items():
            if films is None:
                self.listed[list_id] = films_of(self.ask, list_id)

    def library(self):
        return self.movies, self.people, self.lists, self.views, self.listed


def require_rules(library):
    """Of films and lists: exactly the films of status custom have a list of that status, which is
    one of their lists; and what the films say is what the lists say."""
    movies, _, lists, _, listed = library
    for imdb_id, movie in movies.items():
        assert (movie["status"] == "custom") == (movie["custom_list_id"] is not None), movie
        assert movie["custom_list_id"] in {None, *movie["list_ids"]}, movie
        of_lists = {
            key for key, films in listed.items() for film in films if film["imdb_id"] == imdb_id
        }
        assert set(movie["list_ids"]) == of_lists, movie
    assert lists.keys() == listed.keys()
    for films in listed.values():
        named = [film["imdb_id"] for film in films]
        assert len(set(named)) == len(named)
        assert set(named) <= movies.keys()


def films_of(ask, list_id):
    return ask("GET", f"/api/lists/{list_id}", None)["films"]


def server_library(ask):
    """As `Phone.library`, from the resources themselves."""
    movies = {
        row["imdb_id"]: row for row in ask("GET", "/api/movies", None) if row["status"] != "deleted"
    }
    people = {row["id"]: row for row in ask("GET", "/api/people", None)}
    lists = {row["id"]: row for row in ask("GET", "/api/lists", None)}
    views = {row["id"]: row for row in ask("GET", "/api/views", None)}
    return movies, people, lists, views, {list_id: films_of(ask, list_id) for list_id in lists}
