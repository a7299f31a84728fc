"""The existing clients as strict decoders: what each of them needs of an answer, and nothing else.

The phone (two versions of it) decodes as Swift's Decodable does: a key that is missing, a null
where the model has none, or a value of another type fails the whole answer. The web client decodes
nothing, but breaks later on; it is held to the same rules.

A model is a dict of key -> type. A type is a function of (value, path) that raises MismatchError.
"""

from datetime import datetime


class MismatchError(AssertionError):
    """Where an answer cannot be decoded, as `[3].watch_history.my_rating: …`."""


def fail(path, expected, value):
    raise MismatchError(f"{path or 'the answer'}: expected {expected}, found {value!r}")


def text(value, path):
    if not isinstance(value, str):
        fail(path, "a String", value)


def integer(value, path):
    """Swift takes 3.0 for an Int, and not 1.5."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        fail(path, "an Int", value)


def double(value, path):
    if isinstance(value, bool) or not isinstance(value, int | float):
        fail(path, "a Double", value)


def boolean(value, path):
    if not isinstance(value, bool):
        fail(path, "a Bool", value)


def iso_date(value, path):
    """As a browser's toISOString and the phone's formatter write it."""
    text(value, path)
    try:
        datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%fZ")
    except ValueError:
        fail(path, "an ISO date with milliseconds and Z", value)
    if len(value) != len("2026-03-01T12:00:00.000Z"):
        fail(path, "milliseconds", value)


def anything(value, path):
    pass


def optional(kind):
    """Missing or null, or of this type. Only the value: a missing key is `model`'s to allow."""

    def decode(value, path):
        if value is not None:
            kind(value, path)

    decode.may_be_missing = True
    return decode


def array(kind):
    def decode(value, path):
        if not isinstance(value, list):
            fail(path, "an array", value)
        for index, item in enumerate(value):
            kind(item, f"{path}[{index}]")

    return decode


def either(*kinds):
    """The first that decodes, as `try?` after `try?`."""

    def decode(value, path):
        failures = []
        for kind in kinds:
            try:
                return kind(value, path)
            except MismatchError as mismatch:
                failures.append(str(mismatch))
        raise MismatchError(" / ".join(failures))

    return decode


def model(fields):
    def decode(value, path):
        if not isinstance(value, dict):
            fail(path, "an object", value)
        for key, kind in fields.items():
            if key not in value and not getattr(kind, "may_be_missing", False):
                raise MismatchError(f"{path}.{key}: is missing")
            kind(value.get(key), f"{path}.{key}")

    return decode


# What all clients agree on.

RECOMMENDATION = model(
    {
        "id": integer,
        "imdb_id": text,
        "user_id": text,
        "person_id": integer,
        "person_name": text,
        "person": text,
        "date_recommended": double,
        "vote_type": either(boolean, text),
    }
)
TMDB = model(
    {
        "tmdbId": optional(integer),
        "imdbId": optional(text),
        "title": optional(text),
        "year": optional(either(text, integer)),
        "mediaType": optional(text),
        "poster": optional(text),
        "posterSmall": optional(text),
        "plot": optional(text),
        "genres": array(text),
        "cast": array(text),
        "director": optional(text),
        "runtime": optional(integer),
        "voteAverage": optional(double),
        "voteCount": optional(integer),
        "numberOfSeasons": optional(integer),
        "numberOfEpisodes": optional(integer),
    }
)
# Unlike TMDB's, its year is an Int and nothing else.
OMDB = model(
    {
        "imdbId": optional(text),
        "title": optional(text),
        "year": optional(integer),
        "rated": optional(text),
        "released": optional(text),
        "runtime": optional(text),
        "genres": array(text),
        "director": optional(text),
        "writer": optional(text),
        "actors": array(text),
        "plot": optional(text),
        "language": optional(text),
        "country": optional(text),
        "awards": optional(text),
        "poster": optional(text),
        "imdbRating": optional(double),
        "imdbVotes": optional(text),
        "rtRating": optional(integer),
        "metascore": optional(integer),
        "boxOffice": optional(text),
        "production": optional(text),
        "website": optional(text),
    }
)
SEARCH_RESULT = model(
    {
        "id": integer,
        "title": text,
        "year": optional(either(text, integer)),
        "mediaType": text,
        "poster": optional(text),
        "posterSmall": optional(text),
        "overview": optional(text),
        "voteAverage": optional(double),
        "voteCount": optional(integer),
        "knownFor": optional(array(text)),
    }
)
PERSON = model(
    {
        "id": integer,
        "name": text,
        "user_id": text,
        "is_trusted": boolean,
        "color": text,
        "emoji": optional(text),
        "quick_key": optional(text),
        "last_modified": double,
        "movie_count": integer,
    }
)
LIST = model(
    {
        "id": text,
        "user_id": text,
        "name": text,
        "color": text,
        "icon": text,
        "position": integer,
        "created_at": double,
        "last_modified": double,
    }
)
RANKING = model(
    {
        "imdb_id": text,
        "position": integer,
        "score": double,
        "liked": boolean,
        "ranked_at": double,
        "title": text,
        "poster_path": optional(text),
        "year": optional(text),
    }
)
UNRANKED = model(
    {
        "imdb_id": text,
        "title": text,
        "poster_path": optional(text),
        "year": optional(text),
    }
)
STATUS = model(
    {
        "imdb_id": text,
        "status": text,
        "custom_list_id": optional(text),
        "last_modified": double,
    }
)
ACCOUNT = model(
    {
        "id": text,
        "email": text,
        "username": text,
        "created_at": double,
        "is_active": boolean,
    }
)
LOG_IN = model({"access_token": text, "token_type": text, "user": ACCOUNT})
REFRESHED = model(
    {
        "success": boolean,
        "updated": model({"tmdb": boolean, "omdb": boolean}),
        "last_modified": double,
    }
)
# `created_at` is a number for files that are not ours, too.
BACKUP = model({"filename": text, "created_at": double, "size_bytes": integer})
BACKUPS = model({"backups": array(BACKUP)})
BACKUP_SETTINGS = model({"backup_enabled": boolean})
COUNTS = model({"movies": integer, "people": integer, "lists": integer})
IMPORTED = model(
    {
        "success": boolean,
        "movies_imported": integer,
        "people_imported": integer,
        "lists_imported": integer,
        "imported_counts": COUNTS,
        "imdb_ids_needing_enrichment": array(text),
        "errors": array(text),
        "warnings": array(text),
        "safety_backup": optional(text),
    }
)
ERROR = model({"detail": text})


# Where they differ: the films.


def _watch(my_rating):
    return model({"imdb_id": text, "user_id": text, "date_watched": double, "my_rating": my_rating})


def _movie(watch):
    return model(
        {
            "imdb_id": text,
            "user_id": text,
            "tmdb_data": optional(TMDB),
            "omdb_data": optional(OMDB),
            "media_type": optional(text),
            "status": text,
            "custom_list_id": optional(text),
            "date_added": double,
            "last_modified": double,
            "recommendations": array(RECOMMENDATION),
            "watch_history": optional(watch),
        }
    )


def _flat(**more):
    return model(
        {
            "imdb_id": text,
            "title": text,
            "tmdb_id": optional(integer),
            "poster_path": optional(text),
            "overview": optional(text),
            "release_date": optional(text),
            "vote_average": optional(double),
            "imdb_rating": optional(double),
            "rotten_tomatoes_rating": optional(integer),
            "metacritic_score": optional(integer),
            "actors": optional(either(array(text), text)),
            "date_watched": optional(iso_date),
            **more,
        }
    )


class Client:
    """One version of a client: its models of what has a film inside."""

    def __init__(self, name, watch, film):
        self.name, self.watch, self.film = name, watch, film
        self.films = array(film)
        self.stats = model(
            {
                "id": integer,
                "name": text,
                "is_trusted": boolean,
                "total_movies": integer,
                "watched_movies": integer,
                "average_rating": optional(double),
                "movies": self.films,
                "color": text,
                "emoji": optional(text),
                "quick_key": optional(text),
            }
        )
        self.feed = model(
            {
                "movies": self.films,
                "people": array(PERSON),
                "lists": array(LIST),
                "deleted_movie_ids": array(text),
                "deleted_people": array(integer),
                "deleted_lists": array(text),
                "reset": boolean,
                "has_more": boolean,
                "next_offset": optional(text),
                "server_timestamp": double,
                "timestamp": double,
            }
        )
        self.answer = model(
            {
                "success": boolean,
                "last_modified": optional(double),
                "error": optional(text),
                "conflict": boolean,
                "server_state": optional(either(film, PERSON, LIST)),
            }
        )
        self.answers = model({"results": array(self.answer), "server_timestamp": double})

    def __repr__(self):
        return self.name


RATED = _watch(double)
# The phone knows no watch without a rating. A film that it cannot decode it tries as a flat one.
IOS = Client("iOS 4499435", RATED, either(_movie(RATED), _flat()))
OLD_IOS = Client("iOS 0bb39be", RATED, either(_movie(RATED), _flat(id=integer)))
# The web client shows a watch without a rating as "N/A".
ANY_WATCH = _watch(optional(double))
REACT = Client("React", ANY_WATCH, _movie(ANY_WATCH))
PHONES, CLIENTS = (IOS, OLD_IOS), (IOS, OLD_IOS, REACT)


def decode(answer, kind, status=200):
    """The body of an answer that this client could decode."""
    asked = f"{answer.request.method} {answer.request.path}"
    assert answer.status_code == status, (asked, answer.text)
    kind(answer.json, f"{asked}: ")
    return answer.json
