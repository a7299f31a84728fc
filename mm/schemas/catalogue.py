"""The catalogue of films and series: what was chosen, and what a catalogue says of itself."""

from msgspec import Struct


class CatalogueChoice(Struct, frozen=True):
    """What an administrator asked for after seeing the terms. `akas`: titles in other languages;
    `adult`: titles that IMDb marks as adult. `is_renewed`: it is updated automatically every week.
    One that was made from files is not: its server may have no internet access."""

    chosen_at: float
    akas: bool = False
    directors: bool = False
    adult: bool = False
    is_renewed: bool = True


class CatalogueAbout(Struct, frozen=True):
    """`etags`: of the datasets that it was made of, by name, such as title.basics."""

    built_at: float
    films: int
    series: int
    choice: CatalogueChoice
    etags: dict[str, str]
