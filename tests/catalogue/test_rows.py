"""Lines of IMDb's datasets, taken apart."""

import pytest

from mm.services.catalogue import rows


@pytest.mark.parametrize(
    "text, number",
    [
        (b"tt0133093", 133093),
        (b"tt10000005", 10_000_005),
        (b"tt0000000", None),
        (b"tt010000005", None),
        (b"tt9999999999", None),
        (b"tt133093", None),
        (b"nm0133093", None),
        (b"tt01330-3", None),
        (b"tt+133093", None),
        (b"tt01330933 ", None),
        ("tt٠١٢٣٤٥٦".encode(), None),
        (b"", None),
    ],
)
def test_ids_are_those_that_imdb_writes(text, number):
    assert rows.number_of(text, b"tt") == number


def test_what_is_no_id_in_a_list_is_left_out():
    assert rows.numbers_of("nm0905154,x,nm0905152", b"nm") == [905154, 905152]
    assert rows.numbers_of(r"\N", b"nm") == []


def test_columns_are_taken_by_their_names():
    reader = rows.Reader(b"numVotes\tnew\taverageRating\ttconst", "title.ratings")
    assert reader.fields(b"7\tx\t8.1\ttt0000001") == ("tt0000001", "8.1", "7")
    assert reader.parts(b"7\tx\t8.1\ttt0000001") == (b"tt0000001", b"8.1", b"7")


def test_a_header_without_a_column_is_refused():
    with pytest.raises(ValueError, match="numVotes"):
        rows.Reader(b"tconst\taverageRating", "title.ratings")


def test_quotation_marks_are_characters():
    reader = rows.Reader(b"titleId\ttitle", "title.akas")
    assert reader.fields(b'tt0000001\t"Crocodile" Dundee') == ("tt0000001", '"Crocodile" Dundee')


@pytest.mark.parametrize("line", [b"", b"tt0000001", b"a\tb\tc", b"tt0000001\t\xff", b"x\t\0"])
def test_what_is_no_row_is_counted(line):
    reader = rows.Reader(b"titleId\ttitle", "title.akas")
    assert reader.fields(line) is None
    assert reader.counts == {"rows": 1}


def test_ratings_may_be_written_without_a_decimal():
    reader = rows.Reader(b"tconst\taverageRating\tnumVotes", "title.ratings")
    assert reader.rating((b"tt0000001", b"8", b"12")) == (1, 12, 80)
    assert reader.rating((b"tt0000001", b"10.0", b"12")) == (1, 12, 100)
    assert reader.rating((b"tt0000001", b"0.5", b"12")) is None
    assert reader.counts == {"rows": 1}


@pytest.mark.parametrize(
    "text, genres",
    [("Action,Sci-Fi", "Action,Sci-Fi"), (r"\N", None), ("Action,, Drama ", "Action,Drama")],
)
def test_genres_stay_as_they_are_but_for_what_is_empty(text, genres):
    assert rows.genres_of(text) == genres


def test_names_are_in_one_line_and_not_without_end():
    assert rows.clean("  The\u2028Matrix ") == "The Matrix"
    assert rows.clean(r"\N") is None
    assert rows.clean("x" * 1001) is None
