"""Titles are compared without case, accents, punctuation and a leading article."""

import pytest

from mm.services.catalogue import folding


@pytest.mark.parametrize(
    "title, expected",
    [
        ("Amélie", "amelie"),
        ("Schindler's List", "schindlers list"),
        ("Romeo & Juliet", "romeo and juliet"),
        ("Straße ohne Ende", "strasse ohne ende"),
        ("Łódź", "lodz"),
        ("  M*A*S*H ", "m a s h"),
        ("夜の自転車", "夜の自転車"),
        ("…", ""),
    ],
)
def test_titles_are_folded(title, expected):
    assert folding.folded(title) == expected


@pytest.mark.parametrize(
    "folded, expected",
    [
        ("the matrix", "matrix"),
        ("a goose named tuesday", "goose named tuesday"),
        ("an education", "education"),
        ("the", "the"),
        ("theo", "theo"),
        ("", ""),
    ],
)
def test_a_leading_article_is_left_out(folded, expected):
    assert folding.without_article(folded) == expected


@pytest.mark.parametrize(
    "title, words",
    [
        ("X-Men", "x men xmen"),
        ("Schindler's List", "schindler s schindlers list"),
        ("Rocky II", "rocky ii 2"),
        ("L'Avventura", "l avventura lavventura"),
        ("Toy, Toy", "toy"),
        ("O'Brien-Smith", "o brien smith obrien obriensmith"),
    ],
)
def test_a_title_is_found_by_each_of_its_words(title, words):
    assert folding.words(title) == words
