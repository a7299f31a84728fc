"""How far the look-up of a user's films has come."""

from msgspec import Struct


class EnrichmentProgress(Struct):
    """One user's films by their TMDB state: `ready` + `waiting` + `missing` + `failed` = `total`.
    `notices`: sentences about what is paused and until when."""

    total: int
    ready: int
    waiting: int
    missing: int
    failed: int
    notices: list[str]
