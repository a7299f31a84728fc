"""A stand-in for TMDB and OMDb: a real HTTP server on loopback with invented titles and faults to
switch on.

    python -m tests.support.standin --port 9200 \\
        [--tmdb '{"fault": "error", "times": 3}'] [--omdb '{"quota": 500}']

`TMDB_BASE_URL`, `OMDB_BASE_URL` and `TMDB_IMAGE_URL` are /3, /omdb/ and /t/p below it. GET
/__stats__ tells what was asked. The key `bad` is refused by either provider.
"""

import argparse
import contextlib
import json
import re
import struct
import threading
import time
import zlib
from collections import Counter, deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from mm.services.enrichment import lookup_slots

# (title, year, minutes, director, cast, genres, IMDb rating or None)
FILMS = [
    (
        "The Lighthouse Keeper's Tax Return",
        1994,
        101,
        "Ilse Brandt",
        "Omar Quist, Dora Fenn",
        "Drama",
        "8.1",
    ),
    (
        "Nine Ways to Boil an Egg",
        2003,
        88,
        "Per Halvorsen",
        "Lena Sturm, Dora Fenn",
        "Comedy",
        "6.4",
    ),
    ("Çılgın Köprü", 2011, 117, "Ayşe Demirkan", "Mert Ünal, Selin Öztaş", "Comedy, Drama", "7.2"),
    ("Straße ohne Ende", 1978, 133, "Jürgen Weiß", "Käthe Müller, Omar Quist", "Drama", "7.9"),
    (
        "A Moderate Quantity of Bees",
        2016,
        95,
        "Tamsin Okafor",
        "Ned Larkin, Priya Vale",
        "Thriller",
        "5.8",
    ),
    (
        "The Third Umbrella",
        1999,
        109,
        "Per Halvorsen",
        "Lena Sturm, Ned Larkin",
        "Crime, Thriller",
        "7.0",
    ),
    ("Moonquake", 2021, 126, "Tamsin Okafor", "Priya Vale, Mert Ünal", "Science Fiction", "6.1"),
    ("夜の自転車", 1961, 97, "Haruto Sugi", "Emi Kondo, Ren Ota", "Drama", "8.4"),
    (
        "Left Luggage at Platform Zero",
        1987,
        92,
        "Ilse Brandt",
        "Dora Fenn, Kofi Mars",
        "Mystery",
        "7.4",
    ),
    (
        "The Accordion Heist",
        2008,
        104,
        "Kofi Mars",
        "Omar Quist, Lena Sturm",
        "Comedy, Crime",
        "6.9",
    ),
    ("Yesterday's Weather", 2019, 84, "Priya Vale", "Selin Öztaş, Ned Larkin", "Romance", "6.6"),
    (
        "Salt on the Stairs",
        1952,
        79,
        "Edmund Thorne",
        "Vera Lindqvist, Basil Crowe",
        "Film-Noir",
        None,
    ),
    ("A Goose Named Tuesday", 2014, 91, "Lena Sturm", "Dora Fenn, Kofi Mars", "Family", "7.7"),
    (
        "The Ninth Floor Has No Windows",
        2006,
        98,
        "Haruto Sugi",
        "Ren Ota, Priya Vale",
        "Horror",
        "5.5",
    ),
    (
        "Concerto for Lawnmower",
        1991,
        112,
        "Jürgen Weiß",
        "Käthe Müller, Omar Quist",
        "Music, Comedy",
        "7.3",
    ),
    ("Borrowed Thunder", 2023, 139, "Ayşe Demirkan", "Mert Ünal, Emi Kondo", "Action", "6.0"),
    (
        "The Cartographer's Ex-Wife",
        1984,
        106,
        "Vera Lindqvist",
        "Basil Crowe, Dora Fenn",
        "Adventure",
        "7.1",
    ),
    (
        "Seven Sleepy Detectives",
        1973,
        90,
        "Edmund Thorne",
        "Basil Crowe, Kofi Mars",
        "Crime",
        "6.8",
    ),
    (
        "Under a Cardboard Sky",
        2018,
        100,
        "Tamsin Okafor",
        "Ned Larkin, Selin Öztaş",
        "Drama, Family",
        "7.6",
    ),
    (
        "Please Do Not Feed the Robots",
        2020,
        94,
        "Kofi Mars",
        "Priya Vale, Ren Ota",
        "Science Fiction",
        "6.3",
    ),
    (
        "Élise et les Pingouins",
        1968,
        87,
        "Margot Delaune",
        "Noé Carrel, Inès Roux",
        "Animation",
        "7.8",
    ),
    (
        "The Long Short Cut",
        2001,
        121,
        "Per Halvorsen",
        "Lena Sturm, Omar Quist",
        "Adventure",
        "6.7",
    ),
    (
        "Porridge and Prejudice",
        2010,
        99,
        "Margot Delaune",
        "Inès Roux, Dora Fenn",
        "Romance, Comedy",
        "6.2",
    ),
    (
        "Zero Is Also a Number",
        2022,
        108,
        "Ilse Brandt",
        "Emi Kondo, Noé Carrel",
        "Documentary",
        "7.5",
    ),
]
GENRES = {
    name: number
    for number, name in enumerate(sorted({g for film in FILMS for g in film[5].split(", ")}), 10)
}
FIRST = 9000001
FILM_IDS = [f"tt{FIRST + number}" for number in range(len(FILMS))]
SERIES_ID, EPISODE_ID, SEASON_ID, PERSON_ID = "tt9100001", "tt9100002", "tt9100003", "tt9100004"
# TMDB has this one with every field empty, null or zero.
EMPTY_ID = "tt9100005"
# OMDb knows this one and TMDB does not.
OMDB_ONLY_ID = "tt9100006"
UNKNOWN_ID = "tt9999999"
FIND_LISTS = (
    "movie_results",
    "person_results",
    "tv_results",
    "tv_episode_results",
    "tv_season_results",
)
NOT_FOUND = {
    "success": False,
    "status_code": 34,
    "status_message": "The resource you requested could not be found.",
}
PAGE = b"<!DOCTYPE html><html><title>522</title><body>Connection timed out</body></html>"
HANG_SECONDS = 60


def person(name):
    return {"id": zlib.crc32(name.encode()) >> 1, "name": name}


def tmdb_film(imdb_id):
    """The details of one of FILMS as TMDB words them, or None."""
    if imdb_id not in FILM_IDS:
        return None
    number = FILM_IDS.index(imdb_id)
    title, year, minutes, director, cast, genres, _ = FILMS[number]
    crew = [
        {**person(director), "job": "Director", "department": "Directing"},
        {**person("Somebody Else"), "job": "Best Boy", "department": "Lighting"},
    ]
    return {
        "id": 5000 + number,
        "imdb_id": imdb_id,
        "title": title,
        "original_title": title,
        "release_date": f"{year}-05-17",
        "runtime": minutes,
        "overview": f"All about {title}.",
        "genres": [{"id": GENRES[name], "name": name} for name in genres.split(", ")],
        "poster_path": f"/{imdb_id}.png",
        "vote_average": 7.1,
        "vote_count": 120,
        "credits": {
            "cast": [person(name) | {"order": n} for n, name in enumerate(cast.split(", "))],
            "crew": crew,
        },
        "external_ids": {"imdb_id": imdb_id},
    }


SERIES = {
    "id": 7001,
    "name": "Meanwhile, in Accounting",
    "original_name": "Meanwhile, in Accounting",
    "first_air_date": "2009-10-02",
    "episode_run_time": [42],
    "number_of_seasons": 3,
    "number_of_episodes": 30,
    "genres": [{"id": 35, "name": "Comedy"}],
    "overview": "Numbers, mostly.",
    "poster_path": "/series.png",
    "created_by": [person("Tamsin Okafor")],
    "vote_average": 8.0,
    "vote_count": 90,
    "credits": {"cast": [person(f"Clerk {number}") for number in range(1, 15)], "crew": []},
    "external_ids": {"imdb_id": SERIES_ID},
}
EMPTY = {
    "id": 7002,
    "imdb_id": "",
    "title": "Untitled Reel",
    "original_title": "Untitled Reel",
    "release_date": "",
    "runtime": 0,
    "overview": "",
    "genres": [],
    "poster_path": None,
    "vote_average": 0.0,
    "vote_count": 0,
    "credits": {"cast": [], "crew": []},
    "external_ids": {"imdb_id": None},
    "softcore": False,
}
FOUND = {
    SERIES_ID: {"tv_results": [{"id": 7001, "name": SERIES["name"], "media_type": "tv"}]},
    EPISODE_ID: {"tv_episode_results": [{"id": 7003, "name": "Pilot", "media_type": "tv_episode"}]},
    SEASON_ID: {"tv_season_results": [{"id": 7004, "name": "Season 1"}]},
    PERSON_ID: {"person_results": [{"id": 7005, "name": "Dora Fenn", "media_type": "person"}]},
    EMPTY_ID: {"movie_results": [{"id": 7002, "title": EMPTY["title"]}]},
}


def summary(imdb_id, **values):
    """One of FILMS as a row of results, with the numbers of its genres."""
    film = tmdb_film(imdb_id)
    row = {
        key: film[key]
        for key in (
            "id",
            "title",
            "release_date",
            "overview",
            "poster_path",
            "vote_average",
            "vote_count",
        )
    }
    return {**row, "genre_ids": [genre["id"] for genre in film["genres"]], **values}


def lists(path, query):
    """A page of results, or the genres; None for any other path."""
    if path == "/genre/movie/list":
        return {"genres": [{"id": number, "name": name} for name, number in GENRES.items()]}
    rows = None
    if path.startswith("/search/"):
        rows = _search(path.removeprefix("/search/"), query)
    elif path == "/discover/movie":
        rows = [summary(imdb_id) for imdb_id in FILM_IDS if _fits(imdb_id, query)]
    elif re.fullmatch(r"/movie/(popular|now_playing|top_rated|upcoming)", path):
        rows = [summary(imdb_id) for imdb_id in FILM_IDS]
    elif re.fullmatch(r"/trending/all/(day|week)", path):
        rows = [summary(FILM_IDS[0], media_type="movie"), series_summary()]
    elif re.fullmatch(r"/trending/movie/(day|week)", path):
        rows = [summary(FILM_IDS[0], media_type="movie")]
    elif match := re.fullmatch(r"/person/(\d+)/movie_credits", path):
        return credits_of(int(match[1]))
    return None if rows is None else {"page": 1, "results": rows[:20], "total_results": len(rows)}


def credits_of(person_id):
    """What a person did: directing, each film twice as TMDB has it for some, and writing. Later
    films are more popular."""
    films = [tmdb_film(imdb_id) for imdb_id in FILM_IDS]
    crew = [
        {**summary(film["imdb_id"]), "popularity": film["id"] / 10, "job": row["job"]}
        for film in films
        for row in film["credits"]["crew"]
        if row["id"] == person_id
    ]
    written = {**summary(FILM_IDS[7]), "job": "Writer"}
    return {"id": person_id, "cast": [], "crew": [*crew, *crew, written]}


def series_summary():
    keys = ("id", "name", "first_air_date", "overview", "poster_path", "vote_average", "vote_count")
    return {**{key: SERIES[key] for key in keys}, "media_type": "tv"}


def _search(kind, query):
    text, year = query.get("query", "").lower(), query.get("year", "")
    films = [summary(imdb_id, media_type="movie") for imdb_id in FILM_IDS]
    names = {name for film in FILMS for name in film[4].split(", ")}
    people = [
        {
            **person(name),
            "media_type": "person",
            "profile_path": "/face.png",
            "known_for": films[:1],
        }
        for name in sorted(names)
        if text in name.lower()
    ]
    found = [
        film
        for film in films
        if text in film["title"].lower() and film["release_date"].startswith(year)
    ]
    series = [series_summary()] if text in SERIES["name"].lower() else []
    return {"multi": found + series + people, "movie": found, "person": people}.get(kind)


def _fits(imdb_id, query):
    film = tmdb_film(imdb_id)
    wanted = (
        ("with_genres", [genre["id"] for genre in film["genres"]]),
        ("with_cast", [row["id"] for row in film["credits"]["cast"]]),
        ("with_crew", [row["id"] for row in film["credits"]["crew"]]),
    )
    first, last = query.get("release_date.gte", ""), query.get("release_date.lte", "9999")
    has_all = all(_has(query[name], ids) for name, ids in wanted if name in query)
    return has_all and first <= film["release_date"] <= last


def _has(asked, ids):
    """`1,2` is both, `1|2` is either."""
    some = any if "|" in asked else all
    return some(int(number) in ids for number in re.split(r"[|,]", asked))


def omdb_body(imdb_id):
    """OMDb's strings for a film, or None."""
    if imdb_id == OMDB_ONLY_ID:
        return _omdb(
            "Somewhere a Kettle",
            1949,
            71,
            "Edmund Thorne",
            "Vera Lindqvist",
            "Short",
            "6.5",
            imdb_id,
        )
    if imdb_id in FILM_IDS:
        return _omdb(*FILMS[FILM_IDS.index(imdb_id)], imdb_id)
    return None


def _omdb(title, year, minutes, director, cast, genres, rating, imdb_id):
    percent = round(float(rating) * 10) if rating else None
    ratings = [
        {"Source": "Internet Movie Database", "Value": f"{rating}/10"},
        {"Source": "Rotten Tomatoes", "Value": f"{percent}%"},
        {"Source": "Metacritic", "Value": f"{percent}/100"},
    ]
    return {
        "Title": title,
        "Year": str(year),
        "Runtime": f"{minutes} min",
        "Genre": genres,
        "Director": director,
        "Actors": cast,
        "Plot": f"All about {title}.",
        "Ratings": ratings if rating else [],
        "Metascore": str(percent or "N/A"),
        "imdbRating": rating or "N/A",
        "imdbVotes": "1,204",
        "imdbID": imdb_id,
        "Type": "movie",
        "Response": "True",
    }


def picture(seed):
    """A real PNG of 2 by 3 pixels."""
    colour = zlib.crc32(seed.encode()).to_bytes(4, "big")[:3]
    rows = zlib.compress((b"\0" + colour * 2) * 3)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", 2, 3, 8, 2, 0, 0, 0)),
        (b"IDAT", rows),
        (b"IEND", b""),
    )
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@dataclass
class Provider:
    """Switches of one provider. `fault`: wrong_key, busy (429), error (500), html, hang, truncated,
    trickle, list (JSON, but not an object), invalid_json, broken_utf8, echo (of what was sent),
    over_quota; for the next `times` requests, or for as long as it is set. `only`: a part of the
    path or query that the fault is for. `rate`: requests a second, 429 above. `quota`: answers in
    all, refused above as OMDb refuses."""

    fault: str = ""
    times: int | None = None
    only: str = ""
    retry_after: str = ""
    rate: int = 0
    quota: int = 0
    latency: float = 0.0
    asked: list = field(default_factory=list)
    refused: int = 0
    peak: int = 0
    recent: deque = field(default_factory=deque)

    def arrives(self, path):
        """Count a request and return the fault it meets."""
        now = time.monotonic()
        while self.recent and now - self.recent[0] > 1:
            self.recent.popleft()
        self.recent.append(now)
        self.peak = max(self.peak, len(self.recent))
        self.asked.append(path)
        if self.rate and len(self.recent) > self.rate:
            self.refused += 1
            return "busy"
        return self._next_fault(path)

    def _next_fault(self, path):
        if self.quota and len(self.asked) > self.quota:
            return "over_quota"
        if not self.fault or self.times == 0 or self.only not in path:
            return ""
        if self.times is not None:
            self.times -= 1
        return self.fault


class Standin:
    """The running server: `url`, and a Provider each for `tmdb` and `omdb`."""

    def __init__(self, port=0):
        self.tmdb, self.omdb, self.images = Provider(), Provider(), Counter()
        self.lock = threading.Lock()
        self.ending = threading.Event()
        self.server = _Server(("127.0.0.1", port), type("Bound", (_Handler,), {"standin": self}))
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.environ = {
            "TMDB_BASE_URL": f"{self.url}/3",
            "OMDB_BASE_URL": f"{self.url}/omdb/",
            "TMDB_IMAGE_URL": f"{self.url}/t/p",
        }

    def config(self, **values):
        """Keyword arguments for `Config` that lead here, both keys set."""
        urls = {name.lower(): url for name, url in self.environ.items()}
        return {
            **urls,
            "tmdb_api_key": "standin-tmdb-key",
            "omdb_api_key": "standin-omdb-key",
            **values,
        }

    def stats(self):
        return {
            "tmdb": len(self.tmdb.asked),
            "omdb": len(self.omdb.asked),
            "images": sum(self.images.values()),
            "tmdb_refused": self.tmdb.refused,
            "peak_tmdb_per_second": self.tmdb.peak,
        }

    def asked_twice(self):
        """Paths that TMDB was asked for more than once."""
        return [path for path, count in Counter(self.tmdb.asked).items() if count > 1]


class _Server(ThreadingHTTPServer):
    request_queue_size = 64

    def handle_error(self, request, client_address):
        """Clients that gave up are a part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    standin: Standin

    def do_GET(self):
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if url.path == "/__stats__":
            return self._json(200, self.standin.stats())
        if match := re.fullmatch(r"/t/p/(w\d+|original)/([\w.-]+)", url.path):
            self.standin.images[match[1]] += 1
            return self._send(200, picture(match[2]), "image/png")
        if url.path.startswith("/3/"):
            return self._provider(self.standin.tmdb, url.path, self._tmdb, url.path[2:], query)
        if url.path.startswith("/omdb"):
            return self._provider(self.standin.omdb, query.get("i", ""), self._omdb, query)
        return self._json(404, {})

    def _provider(self, provider, path, answer, *args):
        with self.standin.lock:
            fault = provider.arrives(path)
        if provider.latency:
            time.sleep(provider.latency)
        if fault:
            return getattr(self, f"_fault_{fault}")(provider)
        return answer(*args)

    def _tmdb(self, path, query):
        key = query.get("api_key") or self.headers.get("Authorization", "").removeprefix("Bearer ")
        if not key or key == "bad":
            return self._fault_wrong_key(self.standin.tmdb)
        if match := re.fullmatch(r"/find/(\w+)", path):
            film = tmdb_film(match[1])
            found = (
                {"movie_results": [{"id": film["id"], "title": film["title"]}]}
                if film
                else FOUND.get(match[1], {})
            )
            return self._json(200, {name: [] for name in FIND_LISTS} | found)
        if path == "/configuration":
            return self._json(200, {"images": {"base_url": f"{self.standin.url}/t/p/"}})
        body = self._details(path) or lists(path, query)
        return self._json(200, body) if body else self._json(404, NOT_FOUND)

    def _details(self, path):
        if path in ("/tv/7001", "/movie/7002"):
            return SERIES if path == "/tv/7001" else EMPTY
        match = re.fullmatch(r"/movie/(5\d{3})", path)
        number = int(match[1]) - 5000 if match else -1
        return tmdb_film(FILM_IDS[number]) if 0 <= number < len(FILMS) else None

    def _omdb(self, query):
        if query.get("apikey", "bad") == "bad":
            return self._fault_wrong_key(self.standin.omdb)
        body = omdb_body(query.get("i"))
        return self._json(200, body or {"Response": "False", "Error": "Error getting data."})

    def _fault_wrong_key(self, provider):
        if provider is self.standin.omdb:
            return self._json(401, {"Response": "False", "Error": "Invalid API key!"})
        said = "Invalid API key: You must be granted a valid key."
        return self._json(401, {"success": False, "status_code": 7, "status_message": said})

    def _fault_over_quota(self, provider):
        return self._json(401, {"Response": "False", "Error": "Request limit reached!"})

    def _fault_busy(self, provider):
        headers = {"Retry-After": provider.retry_after} if provider.retry_after else {}
        said = "Your request count (41) is over the allowed limit of (40)."
        return self._json(
            429, {"success": False, "status_code": 25, "status_message": said}, headers
        )

    def _fault_error(self, provider):
        return self._json(
            500, {"success": False, "status_code": 11, "status_message": "Internal error."}
        )

    def _fault_html(self, provider):
        return self._send(200, PAGE, "text/html")

    def _fault_list(self, provider):
        return self._json(200, ["surprise"])

    def _fault_invalid_json(self, provider):
        message = """Conversion from string "0011f8539" to type 'Double' is not valid."""
        body = f'{{"Response":"False","Error":"{message}"}}'.encode()
        return self._send(200, body, "application/json; charset=utf-8")

    def _fault_broken_utf8(self, provider):
        self._send(200, b'{"id": 5001, "title": "Caf\xff"}', "application/json; charset=utf-8")

    def _fault_trickle(self, provider):
        """A byte every 50 ms, for as long as somebody reads."""
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        while not self.standin.ending.wait(0.05):
            self.wfile.write(b" ")

    def _fault_echo(self, provider):
        """An error whose words repeat what was sent."""
        said = f"Refused: {self.path} {self.headers.get('Authorization', '')}"
        body = {"status_code": 1, "status_message": said, "Response": "False", "Error": said}
        self._json(404 if provider is self.standin.tmdb else 200, body)

    def _fault_hang(self, provider):
        self.standin.ending.wait(HANG_SECONDS)
        self.close_connection = True

    def _fault_truncated(self, provider):
        self._send(
            200, b'{"movie_results": [{"id": 50', "application/json", {"Content-Length": "4000"}
        )
        self.close_connection = True

    def _json(self, status, body, headers=None):
        self._send(status, json.dumps(body).encode(), "application/json; charset=utf-8", headers)

    def _send(self, status, body, content_type, headers=None):
        """One write: header and body apart would wait for each other's acknowledgement."""
        fields = {"Content-Type": content_type, "Content-Length": str(len(body)), **(headers or {})}
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self._headers_buffer += [b"\r\n", body]
        self.flush_headers()

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def running(port=0):
    """A Standin that answers until the block ends."""
    standin = Standin(port)
    thread = threading.Thread(
        target=standin.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    )
    thread.start()
    try:
        yield standin
    finally:
        standin.ending.set()
        standin.server.shutdown()
        standin.server.server_close()
        thread.join()


@pytest.fixture(name="standin")
def standin_fixture():
    # Its port may be one that an earlier test left silent.
    lookup_slots.silent_providers.clear()
    with running() as standin:
        yield standin


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=9200)
    for name in ("tmdb", "omdb"):
        parser.add_argument(
            f"--{name}", type=json.loads, default={}, help="switches of Provider, as a JSON object"
        )
    args = parser.parse_args()
    with running(args.port) as standin:
        standin.tmdb.__dict__ |= args.tmdb
        standin.omdb.__dict__ |= args.omdb
        print(f"TMDB and OMDb stand-in on {standin.url}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
