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
)


@dataclass
class Phone:
    """`ask(method, path, json)` returns the body of an answer."""

    ask: object
    since: float = 0.0
    movies: dict = field(default_factory=dict)
    people: dict = field(default_factory=dict)
    lists: dict = field(default_factory=dict)

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
                return pages
            offset = page["next_offset"]

    def take(self, page):
        shown = {row["imdb_id"] for row in page["movies"]}
        assert not shown & set(page["deleted_movie_ids"])
        if page["reset"]:
            self.movies, self.people, self.lists = {}, {}, {}
        for name, key in (("movies", "imdb_id"), ("people", "id"), ("lists", "id")):
            getattr(self, name).update({row[key]: row for row in page[name]})
        for name, gone in (
            ("movies", "deleted_movie_ids"),
            ("people", "deleted_people"),
            ("lists", "deleted_lists"),
        ):
            for key in page[gone]:
                getattr(self, name).pop(key, None)
        self.since = max(self.since, page["server_timestamp"])

    def library(self):
        return self.movies, self.people, self.lists


def server_library(ask):
    """As `Phone.library`, from the resources themselves."""
    movies = {
        row["imdb_id"]: row for row in ask("GET", "/api/movies", None) if row["status"] != "deleted"
    }
    people = {row["id"]: row for row in ask("GET", "/api/people", None)}
    return movies, people, {row["id"]: row for row in ask("GET", "/api/lists", None)}
