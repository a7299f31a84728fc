"""What becomes of a ranking: the file's order and the library's, joined by the rule of the import.

*overwrite* takes the file's order and puts after it what the file lacks; *newest* and *skip* keep
the library's order and put after it what the library lacks.
"""

from mm.schemas import Problem
from mm.services import ranking_order
from mm.services.portable.plans import FilmStep, Library, NotTaken, Plan, RankingStep
from mm.services.portable.reader import FileRanking, Incoming
from mm.services.ranking_order import Ranked

LEFT = "the film is no longer watched"
RANKED = "already ranked in your library"


def plan_rankings(plan: Plan, library: Library, incoming: Incoming) -> None:
    """Adds the steps and the order that comes of them. Call when the films are planned."""
    if not incoming.rankings and not library.rankings:
        return
    films = {film.imdb_id: film for film in plan.films}
    statuses = {imdb_id: row.values.status for imdb_id, row in library.films.items()}
    statuses |= {imdb_id: film.values.status for imdb_id, film in films.items()}
    rows = [row for row in incoming.rankings if is_taken(plan, library, row, statuses, films)]
    from_file = []
    for row in rows:
        existing = library.rankings.get(row.imdb_id)
        ranked_at = row.ranked_at
        if ranked_at is None:
            ranked_at = existing.ranked_at if existing else incoming.exported_at
        from_file.append(Ranked(row.imdb_id, row.liked, row.position, ranked_at))
    staying: list[Ranked] = []
    leaving: list[Ranked] = []
    for film in library.rankings.values():
        (staying if statuses[film.imdb_id] == "watched" else leaving).append(film)
    first, then = sorted(from_file, key=lambda film: film.position), staying
    if plan.conflicts != "overwrite":
        first, then = then, first
    placed = {film.imdb_id for film in first}
    order = [*first, *(film for film in then if film.imdb_id not in placed)]
    plan.ranked = list(ranking_order.numbered(order))
    final = {film.imdb_id: film for film in plan.ranked}
    for film in from_file:
        existing = library.rankings.get(film.imdb_id)
        plan.rankings.append(_step(plan, existing, film, final[film.imdb_id]))
    plan.rankings += (RankingStep("removed", film.imdb_id, {}, LEFT) for film in leaving)


def is_taken(
    plan: Plan,
    library: Library,
    row: FileRanking,
    statuses: dict[str, str],
    films: dict[str, FilmStep],
) -> bool:
    status = statuses.get(row.imdb_id)
    if plan.is_left_out("ranking", row.imdb_id):
        if row.imdb_id not in library.rankings:
            plan.leave_out_new("ranking", row.imdb_id, row.imdb_id)
        return False
    if status is None and plan.is_left_out("movie", row.imdb_id):
        plan.not_taken.append(NotTaken("ranking", row.imdb_id, row.imdb_id))
        return False
    if status == "watched":
        return True
    film = films.get(row.imdb_id)
    if film is not None and film.reason and plan.mode == "merge":
        # Not the file's fault: the library's film stays, and is not watched.
        plan.rankings.append(RankingStep("kept", row.imdb_id, {}, film.reason))
    elif status is None:
        reason = f"{row.imdb_id} is in neither the file nor the library"
        plan.errors.append(Problem(f"{row.path}.imdb_id", reason))
    else:
        reason = f"{row.imdb_id} is not watched, and only watched films are ranked"
        plan.errors.append(Problem(f"{row.path}.imdb_id", reason))
    return False


def _step(plan: Plan, existing: Ranked | None, from_file: Ranked, final: Ranked) -> RankingStep:
    """`final` is the film's place in the joined order."""
    values = final._asdict()
    imdb_id = values.pop("imdb_id")
    if existing is None:
        fields = {name: [None, value] for name, value in values.items()}
        return RankingStep("new", imdb_id, fields)
    if plan.conflicts != "overwrite":
        is_same = (existing.liked, existing.ranked_at) == (from_file.liked, from_file.ranked_at)
        return RankingStep("same" if is_same else "kept", imdb_id, {}, RANKED)
    fields = {
        name: [getattr(existing, name), value]
        for name, value in values.items()
        if getattr(existing, name) != value
    }
    return RankingStep("changed" if fields else "same", imdb_id, fields)
