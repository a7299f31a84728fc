"""What becomes of a ranking: the file's order and the library's, joined by the rule of the import.

*overwrite* takes the file's order and puts after it what the file lacks; *newest* and *skip* keep
the library's order and put after it what the library lacks.
"""

from collections.abc import Iterator

from mm.schemas import Problem
from mm.services import ranking_order
from mm.services.portable.plans import FilmStep, Library, Plan, RankingStep
from mm.services.portable.reader import FileRanking, Incoming
from mm.services.ranking_order import Ranked

LEFT = "the film is no longer watched"
RANKED = "already ranked in the library"


def plan_rankings(made: Plan, library: Library, incoming: Incoming) -> None:
    """Adds the steps and the order that comes of them. Call when the films are planned."""
    films = {film.imdb_id: film for film in made.films}
    statuses = {imdb_id: row["status"] for imdb_id, row in library.films.items()}
    statuses |= {imdb_id: film.values["status"] for imdb_id, film in films.items()}
    rows = [row for row in incoming.rankings if _is_taken(made, row, statuses, films)]
    stay = [film for film in library.rankings.values() if statuses[film.imdb_id] == "watched"]
    given = list(_ranked(library, incoming.exported_at, rows))
    made.ranked = list(ranking_order.numbered(_joined(made, given, stay)))
    final = {film.imdb_id: film for film in made.ranked}
    made.rankings += (
        _step(made, library.rankings.get(row.imdb_id), film, final[row.imdb_id])
        for row, film in zip(rows, given, strict=True)
    )
    made.rankings += (
        RankingStep("removed", film.imdb_id, {}, LEFT)
        for film in library.rankings.values()
        if statuses[film.imdb_id] != "watched"
    )


def _is_taken(
    made: Plan,
    row: FileRanking,
    statuses: dict[str, str],
    films: dict[str, FilmStep],
) -> bool:
    status = statuses.get(row.imdb_id)
    if status == "watched":
        return True
    film = films.get(row.imdb_id)
    if film is not None and film.reason:
        # Not the file's fault: the library's film stays, and is not watched.
        made.rankings.append(RankingStep("kept", row.imdb_id, {}, film.reason))
    elif status is None:
        reason = f"{row.imdb_id} is no film of the file or of the library"
        made.errors.append(Problem(f"{row.path}.imdb_id", reason))
    else:
        reason = f"{row.imdb_id} is not watched, and only watched films are ranked"
        made.errors.append(Problem(f"{row.path}.imdb_id", reason))
    return False


def _ranked(library: Library, exported_at: float, rows: list[FileRanking]) -> Iterator[Ranked]:
    """The file's rows; a missing date is the library's, else that of the export."""
    for row in rows:
        mine = library.rankings.get(row.imdb_id)
        ranked_at = row.ranked_at
        if ranked_at is None:
            ranked_at = exported_at if mine is None else mine.ranked_at
        yield Ranked(row.imdb_id, row.liked, row.position, ranked_at)


def _joined(made: Plan, given: list[Ranked], stay: list[Ranked]) -> list[Ranked]:
    first, then = sorted(given, key=lambda film: film.position), stay
    if made.conflicts != "overwrite":
        first, then = then, first
    there = {film.imdb_id for film in first}
    return [*first, *(film for film in then if film.imdb_id not in there)]


def _step(made: Plan, mine: Ranked | None, given: Ranked, final: Ranked) -> RankingStep:
    fields = {name: [None, value] for name, value in final._asdict().items() if name != "imdb_id"}
    if mine is None:
        return RankingStep("new", final.imdb_id, fields)
    fields = {name: [getattr(mine, name), value] for name, (_, value) in fields.items()}
    fields = {name: pair for name, pair in fields.items() if pair[0] != pair[1]}
    if made.conflicts != "overwrite":
        is_same = (mine.liked, mine.ranked_at) == (given.liked, given.ranked_at)
        return RankingStep("same" if is_same else "kept", final.imdb_id, {}, RANKED)
    return RankingStep("changed" if fields else "same", final.imdb_id, fields)
