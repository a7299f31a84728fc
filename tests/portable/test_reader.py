"""Bad files: each is refused whole with a message, or loses just the row that is bad, by path and
reason."""

import json
import subprocess
import sys

import pytest

from mm import clock, config
from mm.errors import InvalidError, TooLargeError
from mm.models import Movie, Person, SavedView
from mm.services import portable
from tests.support.libraries import (
    T,
    as_bytes,
    custom_list,
    document,
    exported,
    film,
    person,
    put,
    seen,
    view,
    vote,
)

pytestmark = pytest.mark.usefixtures("database")

REFUSED = {
    "nothing": b"",
    "text": b"hello",
    "a picture": b"\x89PNG\r\n\x1a\n",
    "a truncated file": as_bytes(document([film(1)]))[:-20],
    "a list": b"[]",
    "a string": b'"movies"',
    "null": b"null",
    "no section": b'{"version": 2}',
    "sections of the wrong shape": b'{"movies": {"a": 1}, "people": 3}',
    "NaN": b'{"movies": [{"imdb_id": "tt0000001", "last_modified": NaN}]}',
    "Infinity": b'{"movies": [{"imdb_id": "tt0000001", "last_modified": Infinity}]}',
    "1e999": b'{"movies": [{"imdb_id": "tt0000001", "last_modified": 1e999}]}',
    "broken UTF-8": b'{"movies": [{"imdb_id": "\xff"}]}',
    "very deep": b"[" * 200_000,
    "a version that is text": b'{"version": "2", "movies": []}',
    "version 0": b'{"version": 0, "movies": []}',
    "an exported_at that is text": b'{"version": 2, "exported_at": "soon", "movies": []}',
    "no usable row": b'{"movies": [{"imdb_id": "../../etc"}, 3]}',
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_a_file_that_is_no_library_is_refused_as_a_whole(data):
    with pytest.raises(InvalidError) as refused:
        portable.read(data)
    assert refused.value.status == 422
    assert len(refused.value.message) > 20


def test_a_newer_version_is_refused_by_name():
    with pytest.raises(InvalidError, match="made by a newer version: 3"):
        portable.read(as_bytes(document([film(1)], version=3)))


def test_a_file_of_65_mib_is_refused_before_it_is_read():
    with pytest.raises(TooLargeError, match="64 MB"):
        portable.read(b" " * (65 * 2**20))


def test_more_than_200_000_films_are_refused():
    with pytest.raises(InvalidError, match="the limit is 200,000"):
        portable.read(b'{"movies": [' + b",".join([b"{}"] * 200_001) + b"]}")


def test_a_byte_order_mark_is_accepted():
    assert (
        portable.read(b"\xef\xbb\xbf" + as_bytes(document([film(1)]))).films[0].imdb_id
        == "tt0000001"
    )


@pytest.mark.parametrize(
    "name, kept",
    [
        (r"Ann \ud83d", "Ann \ufffd"),
        (r"\udc00 Ann", "\ufffd Ann"),
        (r"A\ud800\u0041", "A\ufffdA"),
        (r"\uD83D\uDE00 \ud83d", "😀 \ufffd"),
        (r"back\\ud800slash \ud800", r"back\ud800slash " + "\ufffd"),
    ],
)
def test_half_an_emoji_is_replaced_with_a_warning_and_the_rest_goes_in(alice, name, kept):
    data = b'{"people": [{"name": "%s"}, {"name": "Ben"}]}' % name.encode()
    incoming = portable.read(data)
    assert [person.values.name for person in incoming.people] == [kept, "Ben"]
    assert incoming.warnings == ["Broken characters that became \ufffd: 1."]


def test_millions_of_broken_characters_are_refused():
    data = b'{"people": [{"name": "%s"}]}' % (rb"\ud800" * 1_000_001)
    with pytest.raises(InvalidError, match="too many broken characters"):
        portable.read(data)


def test_a_repeated_key_is_read_as_one_with_a_warning():
    first, second = b'[{"imdb_id": "tt0000001"}]', b'[{"imdb_id": "tt0000002"}, 3]'
    incoming = portable.read(b'{"movies": %s, "movies": %s}' % (first, second))
    assert [row.imdb_id for row in incoming.films] == ["tt0000001", "tt0000002"]
    assert incoming.warnings == ["The file has 'movies' 2 times; they were combined."]
    assert [problem.path for problem in incoming.errors] == ["movies[2]"]


@pytest.mark.parametrize("row", [b"NaN", b"1e999", b'"\xff"', b"[1,}"])
def test_a_row_that_is_no_json_refuses_the_file_and_says_where(row):
    with pytest.raises(InvalidError, match="can’t be read") as refused:
        portable.read(b'{"movies": [{"imdb_id": "tt0000001"}, {"imdb_id": %s}]}' % row)
    assert "codec" not in refused.value.message
    assert "malformed" not in refused.value.message


def of_64_mib(piece):
    """A document that is as large as a file may be, of one small value again and again."""
    start, end = b'{"movies": [{"imdb_id": "tt0000001"}], "x": [', b"0]}"
    return start + piece * ((64 * 2**20 - len(start) - len(end)) // len(piece)) + end


@pytest.mark.parametrize("piece", [b"[],", b'{"":0},', b"0,", b'"a",', b"[[[]]],"])
def test_a_file_that_would_need_gigabytes_is_refused_before_it_is_decoded(piece):
    with pytest.raises(InvalidError, match="more brackets or commas than any library"):
        portable.read(of_64_mib(piece))


# Reads a file of a size and shape, and tells [MiB it took, longest time another thread was kept]:
# in seconds of this process's own work, because the machine may be busy with others.
MEASURE = """
import json, sys, threading, time
from mm.errors import UserError
from mm.services import portable

def peak():
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if "VmHWM" in line).split()[1]) / 1024

def beat():
    while not done:
        start = time.process_time()
        time.sleep(0.005)
        gaps.append(time.process_time() - start)

data = sys.argv[1].encode() + sys.argv[2].encode() * int(sys.argv[3]) + sys.argv[4].encode()
before, gaps, done = peak(), [], False
other = threading.Thread(target=beat)
other.start()
try:
    portable.read(data)
except UserError:
    pass
done = True
other.join()
print(json.dumps([peak() - before, max(gaps)]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "start, piece, count",
    [
        ('{"movies": [', "[],", 32 * 2**20 // 3 * 2),
        ('{"movies": [', "[],", 2_999_990),
        ('{"movies": [{"imdb_id": "tt0000001"}], "x": [', '{"":0}, ', 2_999_990),
        ('{"movies": [', f"{json.dumps(film(1))},", 190_000),
    ],
)
def test_a_large_file_takes_little_memory_and_keeps_nobody_waiting(start, piece, count):
    command = [sys.executable, "-c", MEASURE, start, piece, str(count), "0]}"]
    told = subprocess.run(command, cwd=config.ROOT, capture_output=True, check=True, text=True)
    megabytes, longest = json.loads(told.stdout)
    assert megabytes < 300
    assert longest < 1


def test_one_row_that_holds_too_much_is_kept_out_alone():
    votes = b"[" + b"{}," * 300_000 + b"{}]"
    incoming = portable.read(
        b'{"movies": [{"imdb_id": "tt0000001", "recommendations": %s}, '
        b'{"imdb_id": "tt0000002"}]}' % votes
    )
    assert [row.imdb_id for row in incoming.films] == ["tt0000002"]
    assert incoming.errors[0].path == "movies[0]"
    assert "brackets or commas" in incoming.errors[0].reason


def test_thousands_of_keys_are_refused():
    keys = b",".join(b'"k%d": 1' % number for number in range(2_000))
    with pytest.raises(InvalidError, match="more than 1,000 keys"):
        portable.read(b'{"movies": [], %s}' % keys)


def test_entries_under_an_unknown_key_are_counted_without_reading_them():
    unknown = b'"a": [[], {}, 1], "b": {"x": 1, "y": []}, "c": 7, "d": "", "e": {}, "f": null'
    data = b'{"movies": [], %s}' % unknown
    assert portable.read(data).warnings == [
        "Entries left out because this version does not know 'a': 3.",
        "Entries left out because this version does not know 'b': 2.",
        "Entries left out because this version does not know 'c': 1.",
    ]


def test_only_twenty_unknown_keys_are_named():
    rows = [film(number, **{f"key{number}": 1}) for number in range(1, 251)]
    warnings = portable.read(as_bytes(document(rows))).warnings
    assert len(warnings) == 21
    assert "Entries left out because this version does not know other keys: 230." in warnings


def test_of_many_warnings_of_one_kind_the_first_are_shown_and_the_rest_counted():
    people = [person("Ann") for _ in range(1_001)]
    warnings = portable.read(as_bytes(document(people=people))).warnings
    assert warnings[0] == "people[1] and people[0] are the same person and were combined."
    assert warnings[10:] == ["And 990 more like the last one."]


def test_an_empty_library_is_a_library():
    assert portable.read(as_bytes(document())).errors == []


@pytest.mark.slow
def test_a_file_of_nothing_but_bad_rows_is_given_up_before_their_list_fills_the_memory():
    with pytest.raises(InvalidError, match="More than 100,000 rows can’t be used"):
        portable.read(
            b'{"movies": [{"imdb_id": "tt0000001"}], "people": [' + b"0," * 150_000 + b"0]}"
        )


def test_more_than_200_000_people_are_refused():
    with pytest.raises(InvalidError, match="the limit is 200,000"):
        portable.read(b'{"people": [' + b"0," * 200_001 + b"0]}")


@pytest.mark.parametrize("key", ["version", "exported_at"])
def test_a_number_of_400_digits_is_refused_and_no_error_of_ours(key):
    with pytest.raises(InvalidError):
        portable.read(b'{"movies": [], "%s": 1%s}' % (key.encode(), b"0" * 400))


def test_a_library_cannot_grow_past_what_an_import_takes(alice, monkeypatch):
    monkeypatch.setattr("mm.services.validation.FILMS_MAX", 3)
    put(alice, document([film(1), film(2)]))
    with pytest.raises(InvalidError, match="would have 4 films"):
        put(alice, document([film(2), film(3), film(4)]))


BAD_FILMS = {
    "imdb_id": {"imdb_id": "../../etc"},
    "imdb_id: is missing": {"imdb_id": None},
    "imdb_id: expected text, found a number": {"imdb_id": 111161},
    "imdb_id: 'tt123456'": {"imdb_id": "tt123456"},
    "watch_history.my_rating: 11 is above 10": {
        "watch_history": {"date_watched": T, "my_rating": 11}
    },
    "watch_history.my_rating: 0 is below 1": {"watch_history": {"date_watched": T, "my_rating": 0}},
    "watch_history.my_rating: expected a number, found text": {
        "watch_history": {"date_watched": T, "my_rating": "8"}
    },
    "watch_history.my_rating: expected a number, found true": {
        "watch_history": {"date_watched": T, "my_rating": True}
    },
    "watch_history.date_watched: is missing": {"watch_history": {"my_rating": 8}},
    "watch_history: expected an object": {"watch_history": [8]},
    "watches[1].date_watched": {"watches": [{"date_watched": T}, {"date_watched": "x"}]},
    "watches: expected a list": {"watches": {}},
    "status: unknown status 'seen'": {"status": "seen"},
    "custom_list_id: is missing": {"status": "custom"},
    "custom_list_id: list 'nowhere' doesn’t exist": {
        "status": "custom",
        "custom_list_id": "nowhere",
    },
    "date_added": {"date_added": 9e9},
    "date_added: '9999-12-31' is not a time": {"date_added": "9999-12-31"},
    "date_added: '0001-01-01T00:00:00": {"date_added": "0001-01-01T00:00:00"},
    "date_added: is not a usable number": {"date_added": 10**400},
    "watch_history.my_rating: is not a usable number": {
        "watch_history": {"date_watched": T, "my_rating": 10**400}
    },
    "last_modified: expected a time": {"last_modified": True},
    "last_modified": {"last_modified": -1e18},
    "recommendations: expected a list": {"recommendations": "Bob"},
    "media_type: longer than 500": {"media_type": "x" * 501},
    "media_type: holds a NUL": {"media_type": "a\0b"},
}


@pytest.mark.parametrize("reason, values", BAD_FILMS.items(), ids=BAD_FILMS)
def test_a_bad_film_is_kept_out_by_path_and_reason_and_the_good_ones_go_in(alice, reason, values):
    plan = put(alice, document([film(1), {**film(2), **values}, film(3)]))
    assert set(exported(alice)["movies"]) == {"tt0000001", "tt0000003"}
    [problem] = plan.errors
    assert f"{problem.path}: {problem.reason}".startswith(f"movies[1].{reason}")


@pytest.mark.parametrize(
    "values",
    [
        {"color": '"><script>alert(1)</script>'},
        {"color": "red"},
        {"name": " "},
        {"name": ".."},
        {"name": None},
        {"name": "x" * 501},
        {"name": "a\nb"},
        {"is_trusted": "yes"},
        {"emoji": 3},
    ],
)
def test_a_bad_person_is_kept_out_and_their_votes_are_not(alice, values):
    movies = [film(1, recommendations=[vote("Ann")])]
    plan = put(alice, document(movies, [{**person("Ann"), **values}, person("Ben")]))
    assert [problem.path.split(".")[0] for problem in plan.errors] == ["people[0]"]
    assert Person.select().where(Person.name_key == "ben").exists()
    assert exported(alice)["movies"]["tt0000001"]["recommendations"] == [vote("Ann")]


@pytest.mark.parametrize(
    "values", [{"id": None}, {"id": "a/b"}, {"color": "<b>"}, {"name": ""}, {"position": 1.5}]
)
def test_a_bad_list_is_kept_out(alice, values):
    plan = put(alice, document(lists=[{**custom_list("one"), **values}, custom_list("two")]))
    assert list(exported(alice)["lists"]) == ["two"]
    assert [problem.path.split(".")[0] for problem in plan.errors] == ["lists[0]"]


@pytest.mark.parametrize(
    "values", [{"name": ""}, {"filters": ["x"]}, {"filters": {"q": 1}}, {"position": "first"}]
)
def test_a_bad_view_is_kept_out(alice, values):
    plan = put(alice, document(views=[{**view("One"), **values}, view("Two")]))
    assert [row.name for row in SavedView.select()] == ["Two"]
    assert plan.errors[0].path.startswith("views[0].")


@pytest.mark.parametrize(
    "bad",
    [
        {"person_name": ""},
        {"person_name": "a\nb"},
        7,
        {"person_name": "Ben", "vote_type": "maybe"},
        {},
    ],
)
def test_a_bad_vote_is_kept_out_alone(alice, bad):
    plan = put(alice, document([film(1, recommendations=[vote("Ann"), bad])]))
    assert [
        row["person_name"] for row in exported(alice)["movies"]["tt0000001"]["recommendations"]
    ] == ["Ann"]
    assert plan.errors[0].path.startswith("movies[0].recommendations[1]")


def test_a_film_twice_stands_once_and_both_paths_are_named(alice):
    plan = put(alice, document([film(1, status="watched"), film(2), film(1)]))
    assert exported(alice)["movies"]["tt0000001"]["status"] == "watched"
    assert [(problem.path, problem.reason) for problem in plan.errors] == [
        ("movies[2]", "the same as movies[0], which is used")
    ]


def test_a_list_id_twice_stands_once(alice):
    plan = put(alice, document(lists=[custom_list("one", "A"), custom_list("one", "B")]))
    assert exported(alice)["lists"]["one"]["name"] == "A"
    assert plan.errors[0].path == "lists[1]"


def test_one_person_votes_once_for_a_film(alice):
    plan = put(alice, document([film(1, recommendations=[vote("Bob"), vote("bob", up=False)])]))
    assert exported(alice)["movies"]["tt0000001"]["recommendations"] == [vote("Bob")]
    assert plan.errors[0].path == "movies[0].recommendations[1]"


def test_case_and_spaces_of_an_imdb_id_are_forgiven(alice):
    put(alice, document([film(1, imdb_id=" TT0111161 ")]))
    assert list(exported(alice)["movies"]) == ["tt0111161"]


@pytest.mark.parametrize(
    "given, kept",
    [
        ("upvote", True),
        ("downvote", False),
        ("1", True),
        ("true", True),
        ("0", False),
        (None, True),
        (False, False),
    ],
)
def test_votes_come_in_many_spellings(alice, given, kept):
    put(alice, document([film(1, recommendations=[{"person_name": "Ann", "vote_type": given}])]))
    assert exported(alice)["movies"]["tt0000001"]["recommendations"][0]["vote_type"] is kept


def test_what_a_file_leaves_out_has_a_default(alice):
    movies = [
        {"imdb_id": "tt0000001"},
        {"imdb_id": "tt0000002", "watch_history": {"date_watched": T - 5}},
        {
            "imdb_id": "tt0000003",
            "recommendations": [{"person_name": "Ann", "date_recommended": T - 9}],
        },
        {"imdb_id": "tt0000004", "custom_list_id": "one"},
    ]
    put(
        alice,
        {"version": 2, "exported_at": T, "movies": movies, "lists": [{"id": "one", "name": "One"}]},
    )
    rows = exported(alice)["movies"]
    assert rows["tt0000001"]["status"] == "toWatch"
    assert rows["tt0000002"]["status"] == "watched"
    assert rows["tt0000003"]["date_added"] == T - 9
    assert rows["tt0000004"]["status"] == "custom"
    assert {row["last_modified"] for row in rows.values()} == {T}


def test_version_1_comes_in_without_its_ids_and_provider_bodies(alice):
    movie = {
        **seen(1),
        "user_id": 7,
        "id": 3,
        "tmdb_data": {"title": "Evil"},
        "omdb_data": "{}",
        "recommendations": [{"id": 4, "person_id": 9, "user_id": 7, **vote("Ann")}],
    }
    plan = put(alice, {"movies": [movie], "people": [{"id": 9, "user_id": 7, **person("Ann")}]})
    assert (plan.errors, plan.warnings) == ([], [])
    assert Movie.get().title.title is None
    assert exported(alice)["movies"]["tt0000001"]["recommendations"] == [vote("Ann")]


def test_unknown_keys_with_data_are_named_with_their_counts():
    file = document(
        [film(1, notes="Great"), film(2, notes="Fine"), film(3, notes="")],
        playlists=[1, 2, 3],
        mood={},
    )
    assert portable.read(as_bytes(file)).warnings == [
        "Entries left out because this version does not know 'movies[].notes': 2.",
        "Entries left out because this version does not know 'playlists': 3.",
    ]


def test_a_last_modified_in_the_future_becomes_now_with_a_warning(frozen_clock, alice):
    plan = put(alice, document([film(1, last_modified=7_252_000_000.0), film(2, last_modified=T)]))
    assert exported(alice)["movies"]["tt0000001"]["last_modified"] == clock.now()
    assert plan.warnings == [
        "Rows with a change date in the future, which became the current time: 1."
    ]


def test_a_date_without_a_time_is_noon_in_the_servers_zone(alice, monkeypatch):
    monkeypatch.setattr(
        config, "current", config.Config(data_dir=config.current.data_dir, timezone="Europe/Berlin")
    )
    put(
        alice,
        document(
            [
                seen(1, date="2026-01-15"),
                seen(2, date="2026-07-15T20:00:00Z"),
                seen(3, date=T * 1000),
            ]
        ),
    )
    rows = exported(alice)["movies"]
    assert rows["tt0000001"]["watch_history"]["date_watched"] == 1768474800.0
    assert rows["tt0000002"]["watch_history"]["date_watched"] == 1784145600.0
    assert rows["tt0000003"]["watch_history"]["date_watched"] == T


def test_a_list_named_beside_another_status_is_ignored_with_a_warning(alice):
    plan = put(alice, document([seen(1, custom_list_id="one")], lists=[custom_list("one")]))
    assert exported(alice)["movies"]["tt0000001"]["custom_list_id"] is None
    assert "Films whose list was ignored" in plan.warnings[0]


def test_an_export_in_a_browser_is_indented_by_two_spaces(alice):
    put(alice, document([film(1)]))
    text = portable.encode(portable.dump(alice.id, exported_at=T), indent=True).decode()
    assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"
