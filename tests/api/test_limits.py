"""What the API's document says a value may be is what the rules for users enforce."""

import pytest

from mm.schemas import types
from mm.services import validation
from mm.services.validation import FieldError


@pytest.fixture
def properties(client):
    """properties("NewList"): the documented fields of a body."""
    schemas = client.get("/docs/openapi.json").json["components"]["schemas"]
    return lambda body: schemas[body]["properties"]


def choice(field):
    """The schema of an optional field, without its null."""
    return next(schema for schema in field["anyOf"] if schema.get("type") != "null")


def test_a_name_is_as_long_as_documented(properties):
    documented = properties("NewList")["name"]
    assert documented["maxLength"] == types.TEXT_MAX
    longest = "a" * documented["maxLength"]
    assert validation.name(longest) == longest
    for refused in (longest + "a", "a" * (documented["minLength"] - 1)):
        with pytest.raises(FieldError):
            validation.name(refused)


def test_a_text_is_as_long_as_documented(properties):
    longest = "a" * choice(properties("NewList")["icon"])["maxLength"]
    assert validation.text(longest, "icon") == longest
    with pytest.raises(FieldError, match=f"longer than {len(longest)} characters"):
        validation.text(longest + "a", "icon")


@pytest.mark.parametrize("body, field", [("NoteChange", "note"), ("NewList", "description")])
def test_a_note_is_as_long_as_documented(properties, body, field):
    longest = "a" * choice(properties(body)[field])["maxLength"]
    assert validation.typed_note(longest, field) == longest
    with pytest.raises(FieldError, match="longer than 10,000 characters"):
        validation.typed_note(longest + "a", field)


def test_a_colour_has_the_documented_pattern(properties):
    assert choice(properties("NewList")["color"])["pattern"] == validation.COLOR.pattern
    assert validation.color("#0A84ff") == "#0A84ff"
    for refused in ("0a84ff", "#0a84f", "#0a84ff\n", "#0a84fg"):
        with pytest.raises(FieldError):
            validation.color(refused)


def test_a_rating_has_the_documented_range(properties):
    documented = choice(properties("WatchChange")["my_rating"])
    for accepted in (documented["minimum"], documented["maximum"]):
        assert validation.rating(accepted) == accepted
    for refused in (documented["minimum"] - 0.1, documented["maximum"] + 0.1):
        with pytest.raises(FieldError):
            validation.rating(refused)


def test_a_time_lies_within_the_documented_years(properties):
    description = choice(properties("WatchChange")["date_watched"])["description"]
    assert f"{types.FIRST_YEAR} to {types.LAST_YEAR}" in description
    for accepted in (f"{types.FIRST_YEAR}-01-02", f"{types.LAST_YEAR - 1}-12-30"):
        assert validation.moment(accepted, "date_watched")
    for refused in (f"{types.FIRST_YEAR - 1}-12-30", f"{types.LAST_YEAR}-01-02"):
        with pytest.raises(FieldError, match=f"between {types.FIRST_YEAR} and {types.LAST_YEAR}"):
            validation.moment(refused, "date_watched")


def test_milliseconds_begin_where_documented(properties):
    assert (
        "above 1e10 they are milliseconds"
        in (choice(properties("WatchChange")["date_watched"])["description"])
    )
    assert float("1e10") == types.MILLISECONDS_FROM
    assert validation.moment(1e12, "date_watched") == 1e9


def test_an_imdb_id_has_the_documented_digits(properties):
    description = choice(properties("NewMovie")["imdb_id"])["description"]
    assert f"tt and {types.IMDB_ID_DIGITS} or more digits" in description
    shortest = "tt" + "1" * types.IMDB_ID_DIGITS
    assert validation.imdb_id(shortest) == shortest
    with pytest.raises(FieldError):
        validation.imdb_id(shortest[:-1])
