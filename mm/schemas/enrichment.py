from msgspec import Struct


class EnrichmentProgress(Struct):
    """Of one user's films: `ready` + `waiting` + `missing` + `failed` = `total`, by their TMDB
    state. `notices` says what is paused and until when, in words."""

    total: int
    ready: int
    waiting: int
    missing: int
    failed: int
    notices: list[str]
