"""What of a provider's body becomes which column."""

import pytest

from mm.services.enrichment import mapping
from tests.support import standin as stand


def test_a_film_fills_every_column():
    columns = mapping.from_tmdb({**stand.tmdb_film(stand.FILM_IDS[2]), "media_type": "movie"})

    assert columns == {
        "tmdb_id": 5002,
        "media_type": "movie",
        "title": "Çılgın Köprü",
        "original_title": "Çılgın Köprü",
        "year": 2011,
        "runtime": 117,
        "genres": ["Comedy", "Drama"],
        "directors": ["Ayşe Demirkan"],
        "cast": ["Mert Ünal", "Selin Öztaş"],
        "overview": "All about Çılgın Köprü.",
        "poster_path": f"/{stand.FILM_IDS[2]}.png",
        "search_text": "çılgın köprü mert ünal selin öztaş ayşe demirkan comedy drama",
    }


def test_a_series_has_its_name_first_year_episode_length_creators_and_ten_of_the_cast():
    columns = mapping.from_tmdb({**stand.SERIES, "media_type": "tv"})

    assert (columns["title"], columns["year"], columns["runtime"]) == (
        "Meanwhile, in Accounting",
        2009,
        42,
    )
    assert columns["directors"] == ["Tamsin Okafor"]
    assert columns["cast"] == [f"Clerk {number}" for number in range(1, 11)]


def test_empty_fields_become_null():
    columns = mapping.from_tmdb({**stand.EMPTY, "media_type": "movie"})

    empty = ("year", "runtime", "overview", "poster_path")
    assert [columns[name] for name in empty] == [None] * 4
    assert (columns["genres"], columns["cast"], columns["directors"]) == ([], [], [])


def test_fields_of_an_unexpected_type_become_null():
    odd = {
        "id": 2**70,
        "title": 7,
        "genres": {"id": 1},
        "credits": [],
        "release_date": 1995,
        "runtime": "90",
        "created_by": ["x", {"name": None}],
        "poster_path": "",
    }

    assert mapping.from_tmdb(odd) == dict.fromkeys(
        (
            "tmdb_id",
            "media_type",
            "title",
            "original_title",
            "year",
            "runtime",
            "overview",
            "poster_path",
        )
    ) | {"genres": [], "directors": [], "cast": [], "search_text": ""}


def test_a_stored_body_keeps_only_the_cast_and_crew_that_are_shown():
    body = mapping.trimmed(stand.tmdb_film(stand.FILM_IDS[0]))

    assert [row["job"] for row in body["credits"]["crew"]] == ["Director"]
    assert body["vote_count"] == 120
    assert mapping.trimmed({"credits": None}) == {"credits": None}


def test_ratings_are_read_from_strings():
    body = {
        "imdbRating": "8.3",
        "imdbVotes": "1,234,567",
        "Metascore": "96",
        "Ratings": [
            {"Source": "Rotten Tomatoes", "Value": "100%"},
            {"Source": "Metacritic", "Value": "95/100"},
        ],
    }

    assert mapping.ratings(body) == {
        "imdb_rating": 8.3,
        "imdb_votes": 1_234_567,
        "rotten_tomatoes": 100,
        "metacritic": 95,
    }


def test_missing_and_impossible_ratings_are_null():
    none = dict.fromkeys(("imdb_rating", "imdb_votes", "rotten_tomatoes", "metacritic"))
    odd = {
        "imdbRating": "11.0",
        "imdbVotes": "many",
        "Metascore": "N/A",
        "Ratings": ["x", {"Source": "Rotten Tomatoes", "Value": "101%"}],
    }

    assert mapping.ratings({"imdbRating": "N/A", "Ratings": []}) == none
    assert mapping.ratings(odd) == none
    assert mapping.ratings({}) == none


def test_metascore_is_used_when_the_list_has_no_metacritic_rating():
    assert mapping.ratings({"Metascore": "64"})["metacritic"] == 64


def test_omdb_fills_the_descriptive_columns_too():
    columns = mapping.from_omdb(stand.omdb_body(stand.OMDB_ONLY_ID))

    assert (columns["title"], columns["year"], columns["runtime"]) == (
        "Somewhere a Kettle",
        1949,
        71,
    )
    assert (columns["media_type"], columns["genres"], columns["cast"]) == (
        "movie",
        ["Short"],
        ["Vera Lindqvist"],
    )


def test_omdb_runtimes_and_years_come_in_several_forms():
    forms = {
        "81 min": 81,
        "1 h 15 min": 75,
        "2 h": 120,
        "1,440 min": 1440,
        "N/A": None,
        "long": None,
        "0 min": None,
    }

    assert {text: mapping.from_omdb({"Runtime": text})["runtime"] for text in forms} == forms
    assert mapping.from_omdb({"Year": "2021–"})["year"] == 2021
    assert mapping.from_omdb({"Type": "episode", "Year": "N/A"})["media_type"] is None


@pytest.mark.parametrize("value", [10**400, -(10**400), True, "7", None, [7]])
def test_a_vote_average_that_is_no_number_is_null(value):
    assert mapping.tmdb_data({"vote_average": value}).voteAverage is None


@pytest.mark.parametrize("source", [["Metacritic"], {"a": 1}, None, 7])
def test_a_rating_of_an_unreadable_source_is_left_out(source):
    known = {"Source": "Rotten Tomatoes", "Value": "81%"}
    body = {"Ratings": [{"Source": source, "Value": "70%"}, known]}
    assert mapping.ratings(body)["rotten_tomatoes"] == 81


def test_a_directors_films_are_listed_once_and_by_popularity():
    crew = [
        {"id": 1, "job": "Director", "popularity": 2},
        {"id": 2, "job": "Director", "popularity": 9.5},
        {"id": 1, "job": "Director", "popularity": 2},
        {"id": 3, "job": "Writer", "popularity": 99},
        {"id": 4, "job": "Director"},
        "nonsense",
    ]
    assert [row["id"] for row in mapping.directed_films({"crew": crew})] == [2, 1, 4]
    assert mapping.directed_films({"crew": None}) == []


def test_results_are_sorted_by_release_date_and_undated_ones_come_last():
    dates = ["2026-12-01", "", "2026-11-30", None]
    rows = [{"id": number, "release_date": date} for number, date in enumerate(dates)]
    ordered = mapping.by_release_date({"results": [*rows, 7]})["results"]
    assert [row["id"] for row in ordered] == [2, 0, 1, 3]
