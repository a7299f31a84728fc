"""What the page of a plan shows: its choices, its sentence, its groups and their rows."""

import math
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple, cast

from flask import request

from mm import clock, config, spoken
from mm.errors import NotFoundError
from mm.models import Job
from mm.routes import downloads
from mm.routes.filters import backup_label, dates_of_reader, field_label
from mm.schemas import Change, Conflicts, Kind, Mode, Outcome
from mm.services import shown_titles
from mm.services.backup import backups, imports, stored_plans
from mm.services.backup.stored_plans import PlanSummary
from mm.spoken import plural

KINDS = {
    "movie": ("film", "films"),
    "watch": ("watch", "watches"),
    "vote": ("recommendation", "recommendations"),
    "person": ("person", "people"),
    "list": ("list", "lists"),
    "list_film": ("film on a list", "films on lists"),
    "view": ("saved view", "saved views"),
    "ranking": ("place in the ranking", "places in the ranking"),
}
# In the order of the page: what becomes of one row, and of several.
OUTCOMES: dict[Outcome, tuple[str, str]] = {
    "new": ("is new", "are new"),
    "changed": ("changes", "change"),
    "removed": ("goes", "go"),
    "rejected": ("cannot be read", "cannot be read"),
    "kept": ("stays as it is", "stay as they are"),
}
WRITTEN: tuple[Outcome, ...] = ("new", "changed", "removed")
# What wins where both have a film: its name, and what it does.
RULES: dict[Conflicts, tuple[str, str]] = {
    "overwrite": ("Use the file", "Replaces your ratings and dates for these films."),
    "newest": ("Newest wins", "Keeps whichever changed last."),
    "skip": ("Keep mine", "Only adds what is missing."),
}
MODES: tuple[Mode, ...] = ("replace", "merge")
# Rows that are shown at a time, and that may be on the page together.
ROWS = 100
ROWS_MAX = 1000
# Groups of films up to this size are open at first.
OPEN_UP_TO = 12
# The name of a group with the part of it that is on the page: movie-new:0-100.
GROUP = re.compile(r"([a-z_]+)-([a-z]+)(?::(\d{1,6})-(\d{1,6}))?")
# Where the name itself of a row cannot be read, or nothing of it.
NAMELESS = re.compile(r"[a-z]+\[\d+\](?=$|\.(?:imdb_id|id|name)$)")
IMDB_ID = re.compile(r"tt\d{7,}")
# How the value at the end of a path is typed.
FIXES: dict[str, dict] = {
    "my_rating": {"type": "number", "min": "1", "max": "10", "step": "0.1", "inputmode": "decimal"},
    "name": {"type": "text"},
    "person_name": {"type": "text"},
    "imdb_id": {"type": "text", "placeholder": "tt0113277", "spellcheck": "false"},
    "color": {"type": "text", "placeholder": "#0a84ff", "spellcheck": "false"},
    "date_watched": {"type": "date"},
    "date_added": {"type": "date"},
    "date_recommended": {"type": "date"},
    "last_modified": {"type": "date"},
    "created_at": {"type": "date"},
    "status": {"options": {"toWatch": "To watch", "watched": "Watched", "deleted": "Deleted"}},
}

COME_BACK = ("comes back", "come back")
# What ticking the box of a row means.
VERBS = {"new": "Bring in", "changed": "Change", "removed": "Remove", "kept": "Take"}
# Entries of films that are looked through to show what changes in a film.
BELOW_MAX = 2000


class Choices(NamedTuple):
    """What its user decides about a plan. `left_out`: keys of rows, as `key_of` makes them.
    `fixes`: values typed in place of those at their paths."""

    mode: Mode
    conflicts: Conflicts
    left_out: frozenset[str]
    fixes: dict[str, object]


class Span(NamedTuple):
    """The part of a group that is on the page."""

    start: int
    end: int


class Row(NamedTuple):
    """`film`: as the server knows it, where the row is about one. `place`: the row of the file,
    such as ("Film", 4). `fix`: how its value is typed, or None, and `typed` what was."""

    id: str
    change: Change
    fields: dict[str, list]
    key: str
    is_taken: bool
    film: shown_titles.Shown | None
    place: tuple[str, int] | None
    problem: str
    fix: dict | None
    typed: object


class Group(NamedTuple):
    """Rows of one kind with one outcome. `rows` are those of `span`, where it is open."""

    id: str
    kind: str
    outcome: Outcome
    total: int
    span: Span | None
    rows: list[Row]


# Choices.


def stored_choices(job: Job) -> Choices:
    """Those of the plan that is stored."""
    params = job.params
    mode, rule = params.get("mode", imports.OPENING[job.kind][0]), params.get("conflicts")
    return Choices(
        mode,
        rule if rule and mode == "merge" else imports.OPENING[job.kind][1],
        frozenset(params.get("left_out", ())),
        dict(params.get("fixes", {})),
    )


def sent_choices(job: Job) -> Choices:
    """Those of the form, which holds only the rows that are on the page. A rule is chosen in merge
    alone."""
    stored, form = stored_choices(job), request.form
    shown, taken = set(form.getlist("row")), set(form.getlist("take"))
    left_out = (stored.left_out - shown) | (shown - taken)
    mode = cast(Mode, form["mode"]) if form.get("mode") in MODES else stored.mode
    if "without" in form:
        mode, left_out = "replace", left_out | _nameless(job)
    fixes = {path: value for path, value in stored.fixes.items() if path != form.get("unfix")}
    for name, text in form.items():
        path = name.removeprefix("fix:")
        if path != name and text.strip():
            fixes[path] = _value_of(path, text.strip())
    rule = form.get("conflicts")
    conflicts = rule if rule in RULES and mode == "merge" else stored.conflicts
    if job.kind == "undo":  # what only added would have undone nothing
        mode = "replace"
    if mode == "replace":
        conflicts = imports.OPENING[job.kind][1]
    return Choices(mode, conflicts, frozenset(left_out), fixes)


def _nameless(job: Job) -> set[str]:
    """The rows that cannot be read and name nothing, as keys of `left_out`."""
    rejected = (change for change in stored_plans.all_rows(job) if change.outcome == "rejected")
    paths = (change.path or "" for change in rejected)
    return {f"row:{found[0]}" for path in paths if (found := NAMELESS.match(path))}


def prepare(job: Job, choices: Choices) -> PlanSummary:
    return imports.prepare(job, choices.mode, choices.conflicts, choices.left_out, choices.fixes)


def key_of(change: Change) -> str:
    return f"{change.kind}:{change.key}"


def _value_of(path: str, text: str) -> object:
    """What was typed, as the file would hold it. What is still wrong with it is told again."""
    field = path.rpartition(".")[2]
    if field == "my_rating":
        try:
            rating = float(text.replace(",", "."))
        except ValueError:
            return text
        # Neither nan nor inf can be kept with the job.
        return rating if math.isfinite(rating) else text
    if field == "imdb_id" and (found := IMDB_ID.search(text)):
        return found[0]
    return text


# The page.


def context(job: Job, summary: PlanSummary, notice: str = "") -> dict:
    """For `imports/_plan.html`."""
    choices = stored_choices(job)
    aside = _aside(job, choices)
    of_kind: Counter[str] = Counter(change.kind for change in aside.values())
    groups = [_group(job, *group, choices) for group in _groups_of(job, summary, of_kind)]
    counts = summary.counts
    return {
        "job": job,
        "plan": summary,
        "choices": choices,
        "sentence": _sentence(job, counts, of_kind["movie"]),
        "also": _also(job, counts),
        "cards": _cards(job, summary, of_kind["movie"]),
        "writes": summary.writes,
        "groups": groups,
        "unchanged": {kind: tally["same"] for kind, tally in counts.items() if tally.get("same")},
        "typed": [(*_typed_place(path), path, value) for path, value in choices.fixes.items()],
        "rejected": sum(tally.get("rejected", 0) for tally in counts.values()),
        "set_aside": _set_aside(job, choices, aside),
        "first": 0,
        "rules": RULES,
        "notice": notice,
        # Who has met a change once may want no more of them to stop the import.
        "met_a_change": notice.endswith((imports.SEE_THE_NEW_PLAN, imports.REVIEW)),
        **words_of(job),
        **titles(job, summary),
    }


def words_of(job: Job) -> dict:
    """What the templates of rows need besides."""
    outcomes = OUTCOMES if job.kind == "import" else {**OUTCOMES, "new": COME_BACK}
    return {"kinds": KINDS, "outcomes": outcomes, "verbs": VERBS, "page_rows": ROWS}


def titles(job: Job, summary: PlanSummary) -> dict:
    """What the plan is of: the `heading`, what is said `about` it below, and the words of its
    button."""
    films = summary.counts.get("movie", {})
    copy = "A safety copy of your library is made first. You can undo this for 7 days."
    if job.kind == "import":
        about = ["Nothing changes until you confirm"]
        if summary.exported_at:
            about.insert(0, f"Exported {_day_and_time(summary.exported_at)}")
        count = films.get("new", 0) + films.get("changed", 0)
        words = f"Import {plural(count, 'film')}" if count else "Import"
        if summary.mode == "replace":
            words = "Replace my library"
        source = job.params.get("source")
        heading = f"Import {source}?" if source else "Import this file?"
        return {"heading": heading, "about": about, "confirm": words, "confirm_help": copy}
    when, about = _backup(job, summary)
    named = f"the backup of {when}" if spoken.is_date(when) else f"{when}’s backup"
    heading, words = f"Restore {named}?", "Go back to this backup"
    if when != "today":
        words = f"Go back to {when}"
    if job.kind == "undo":
        undone = job.params.get("undone") or {}
        done = undone.get("action", "change")
        heading, words = f"Undo the {done}?", f"Undo the {done}"
        about[0] = f"Back to the copy from right before it: {about[0]}"
    if summary.mode == "merge":
        words = "Bring back what is missing"
    return {"heading": heading, "about": about, "confirm": words, "confirm_help": copy}


def _backup(job: Job, summary: PlanSummary) -> tuple[str, list[str]]:
    """The day of the backup, and what is known of it."""
    filename, now, zone = job.params.get("filename"), clock.now(), config.current.zone
    style = dates_of_reader()
    entry = backups.find(job.user_id, filename)
    made_at = (entry and entry.created_at) or summary.exported_at or job.created_at
    about = [_day_and_time(made_at)]
    if entry and entry.kind and job.kind != "undo":
        about.insert(0, backup_label(entry.kind))
    if entry and entry.counts:
        about.append(plural(entry.counts.movies, "film"))
    if entry and entry.verified_at:
        about.append(f"test-restored {spoken.ago(entry.verified_at, now, zone, style)}")
    return spoken.past_day(made_at, now, zone, style), about


def group_of(job: Job, name: str) -> Group:
    """The part of a group that `name` asks for. Raises NotFoundError where there is none."""
    asked = next(_spans([name]), None)
    if asked is None:
        raise NotFoundError("This plan has no such rows. Reload the page.")
    kind, outcome, span = asked
    count = stored_plans.summary(job).counts.get(kind, {}).get(outcome, 0)
    return _group(job, kind, outcome, count, span or Span(0, ROWS), stored_choices(job))


def left_out_rows(job: Job) -> Iterator[dict]:
    """What the plan leaves out, for a download: what cannot be read, and what its user took out."""
    left_out = stored_choices(job).left_out
    for change in stored_plans.all_rows(job):
        if change.outcome == "rejected" or key_of(change) in left_out:
            place = downloads.place_of(change.path)
            yield {
                "what": KINDS[change.kind][0],
                "name": "" if change.label == change.path else change.label,
                "row": place and place[1],
                "problem": downloads.problem_words(change.path, change.reason),
                "path": change.path,
            }


def _typed_place(path: str) -> tuple[str, str]:
    """("Film, row 4", "rating") of movies[3].watch_history.my_rating."""
    place = downloads.place_of(path)
    row = f"{place[0]}, row {place[1]:,}" if place else path
    return row, field_label(path.rpartition(".")[2])


def _day_and_time(moment: float) -> str:
    local = clock.local(moment, config.current.zone)
    return f"{dates_of_reader().medium_weekday(local)}, {local:%H:%M}"


# Words and numbers.


def _sentence(job: Job, counts: Mapping[str, Mapping[str, int]], aside: int) -> str:
    """ "46 films are new, 6 change, 12 go, 6 cannot be read." `aside`: films that were left out."""
    tally = counts.get("movie", {})
    parts: list[str] = []
    for outcome, (one, many) in words_of(job)["outcomes"].items():
        count = tally.get(outcome, 0) - (aside if outcome == "kept" else 0)
        if count <= 0:
            continue
        subject = f"{count:,}" if parts else plural(count, "film")
        parts.append(f"{subject} {one if count == 1 else many}")
    if aside:
        subject = f"{aside:,}" if parts else plural(aside, "film")
        parts.append(f"{subject} {'is' if aside == 1 else 'are'} left out by you")
    if same := tally.get("same", 0):
        subject = f"{same:,}" if parts else plural(same, "film")
        parts.append(f"{subject} {'is' if same == 1 else 'are'} the same")
    return f"{', '.join(parts)}." if parts else "No film changes."


def _also(job: Job, counts: Mapping[str, Mapping[str, int]]) -> str:
    """What becomes of all that is no film: "2 people are new, 1 list goes." """
    parts = [
        f"{plural(count, *names)} {words[count > 1]}"
        for kind, names in KINDS.items()
        if kind != "movie"
        for outcome, words in words_of(job)["outcomes"].items()
        if outcome != "kept" and (count := counts.get(kind, {}).get(outcome, 0))
    ]
    return f"Also: {', '.join(parts)}." if parts else ""


class Line(NamedTuple):
    """A number of a card. `group` is that of the page that shows its rows."""

    outcome: str
    number: int
    words: str
    group: str = ""


class Card(NamedTuple):
    mode: Mode
    name: str
    help: str
    lines: list[Line]
    problem: str = ""


def _cards(job: Job, summary: PlanSummary, aside: int) -> list[Card]:
    """The two modes, each with its numbers; the one that fits the job first. An undo goes back, and
    has no other."""
    counts = {summary.mode: summary.counts}
    other: Mode = "merge" if summary.mode == "replace" else "replace"
    if summary.other_counts is not None:
        counts[other] = summary.other_counts
    problem = summary.other_problem or ""
    going = counts.get("replace", {}).get("movie", {}).get("removed", 0)
    is_import = job.kind == "import"
    when = "" if is_import else _backup(job, summary)[0]
    replace = Card(
        "replace",
        "Make my library exactly this file" if is_import else "Go back to this backup",
        "What is not in the file is removed."
        if is_import
        else f"Your library becomes exactly what it was {_on(when)}.",
        _lines(job, counts["replace"], 0, aside) if "replace" in counts else [],
        "" if "replace" in counts else problem,
    )
    if job.kind == "undo":
        return [replace]
    keeps_all = summary.conflicts == "skip"
    merge = Card(
        "merge",
        "Add to my library" if is_import else "Only bring back what is missing",
        "Nothing of yours is removed."
        if is_import or not keeps_all
        else f"Keeps everything you did since {'then' if when == 'today' else when}.",
        _lines(job, counts["merge"], going, aside) if "merge" in counts else [],
        "" if "merge" in counts else problem,
    )
    return [merge, replace] if is_import else [replace, merge]


def _on(when: str) -> str:
    if when == "today":
        return "earlier today"
    return when if when == "yesterday" else f"on {when}"


def _lines(job: Job, counts: Mapping[str, Mapping[str, int]], going: int, aside: int) -> list[Line]:
    """`going`: films that the other mode would remove, and this one keeps. `aside`: those that were
    left out, which need not be in the library."""
    films = counts.get("movie", {})
    words = {
        "new": words_of(job)["outcomes"]["new"],
        "changed": ("changes", "change"),
        "removed": ("is removed", "are removed"),
        "rejected": ("cannot be read", "cannot be read"),
        "kept": ("stays as it is", "stay as they are"),
    }
    lines = [
        Line(
            outcome,
            count,
            f"{_films(count)} {text[count > 1]}",
            "" if outcome == "kept" and count <= aside else f"movie-{outcome}",
        )
        for outcome, text in words.items()
        if (count := films.get(outcome, 0))
    ]
    others = (tally for kind, tally in counts.items() if kind != "movie")
    if count := sum(tally.get(outcome, 0) for tally in others for outcome in WRITTEN):
        entries = (
            "rating, watch or other entry changes",
            "ratings, watches and other entries change",
        )
        lines.append(Line("changed", count, entries[count > 1]))
    if going:
        stay = ("other film of yours stays", "other films of yours stay")
        lines.append(Line("kept", going, stay[going > 1]))
    if same := films.get("same", 0):
        lines.append(Line("same", same, f"{_films(same)} {('is', 'are')[same > 1]} the same"))
    return lines


def _films(count: int) -> str:
    return "film" if count == 1 else "films"


# Groups.


def _groups_of(
    job: Job, summary: PlanSummary, aside: Mapping[str, int]
) -> Iterator[tuple[str, Outcome, int, Span | None]]:
    """Each group that is not empty, with the part of it that is on the page. `aside`: how many of
    each kind were left out."""
    named = "open" in request.values
    asked = {
        (kind, outcome): span for kind, outcome, span in _spans(request.values.getlist("open"))
    }
    for kind in KINDS:
        for outcome in OUTCOMES:
            count = summary.counts.get(kind, {}).get(outcome, 0)
            if outcome == "kept":  # those that were left out have a table of their own
                count -= aside[kind]
            if count <= 0:
                continue
            span = asked.get((kind, outcome))
            if (kind, outcome) in asked and span is None:
                span = Span(0, ROWS)
            is_first_look = not named and outcome != "kept"
            if is_first_look and (
                outcome == "rejected" or (kind == "movie" and count <= OPEN_UP_TO)
            ):
                span = Span(0, ROWS)
            yield kind, outcome, count, span


def _spans(names: list[str]) -> Iterator[tuple[str, Outcome, Span | None]]:
    """Of names such as movie-new:0-200; of two for one group, the last counts."""
    for name in names:
        found = GROUP.fullmatch(name)
        if not found or found[1] not in KINDS or found[2] not in OUTCOMES:
            continue
        span = None
        if found[3]:
            start, end = int(found[3]), int(found[4])
            span = Span(start, min(max(end, start + ROWS), start + ROWS_MAX))
        yield found[1], cast(Outcome, found[2]), span


def _group(
    job: Job, kind: str, outcome: Outcome, count: int, span: Span | None, choices: Choices
) -> Group:
    changes: list[Change] = []
    if span:
        changes = stored_plans.rows(job, kind, outcome, span.start, span.end - span.start)
        # Those stand in a table of their own.
        changes = [change for change in changes if key_of(change) not in choices.left_out]
    rows = _rows(job, changes, choices)
    return Group(f"{kind}-{outcome}", kind, outcome, count, span, rows)


def _aside(job: Job, choices: Choices) -> dict[str, Change]:
    """The rows of the plan that its user has taken out, by key."""
    keys = {key for key in choices.left_out if not key.startswith("row:")}
    if not keys:
        return {}
    # Only among what stays, which is quick where nearly all of a large plan changes.
    total = stored_plans.summary(job).counts
    return {
        key: change
        for kind in {key.partition(":")[0] for key in keys} & KINDS.keys()
        for change in stored_plans.rows(job, kind, "kept", 0, total.get(kind, {}).get("kept", 0))
        if (key := key_of(change)) in keys
    }


def _set_aside(job: Job, choices: Choices, aside: dict[str, Change]) -> list[Row]:
    """What its user has taken out of the plan, to be ticked again."""
    keys = {key for key in choices.left_out if not key.startswith("row:")}
    found = dict(aside)
    # A new row that is not taken may be in the plan no more.
    for key in keys - found.keys():
        kind, _, name = key.partition(":")
        found[key] = Change(cast(Kind, kind), "kept", name, key=name)
    return _rows(job, [found[key] for key in sorted(found)][:ROWS_MAX], choices)


def _rows(job: Job, changes: list[Change], choices: Choices) -> list[Row]:
    ids = {imdb_id for change in changes if (imdb_id := _imdb_id(change))}
    films = shown_titles.of(job.user_id, ids)
    below = _below(job, {change.key for change in changes if change.kind == "movie"})
    return [
        Row(
            f"row-{zlib.crc32(key.encode())}",
            change,
            {**change.fields, **below.get(change.key, {})}
            if change.kind == "movie"
            else change.fields,
            key,
            key not in choices.left_out,
            films.get(_imdb_id(change) or ""),
            downloads.place_of(change.path),
            downloads.problem_words(change.path, change.reason),
            FIXES.get((change.path or "").rpartition(".")[2]),
            choices.fixes.get(change.path or ""),
        )
        for change in changes
        for key in [key_of(change)]
    ]


def _below(job: Job, imdb_ids: set[str]) -> dict[str, dict[str, list]]:
    """What changes in the watches and recommendations of these films, by imdb_id. Empty where a
    plan has too many of them to look through: they have tables of their own."""
    counts = stored_plans.summary(job).counts
    groups = [("watch", "changed"), ("watch", "new"), ("vote", "new"), ("vote", "changed")]
    totals = {group: counts.get(group[0], {}).get(group[1], 0) for group in groups}
    found: dict[str, dict[str, list]] = {}
    if not imdb_ids or sum(totals.values()) > BELOW_MAX:
        return found
    for (kind, outcome), total in totals.items():
        for change in stored_plans.rows(job, kind, outcome, 0, total) if total else ():
            if (imdb_id := _imdb_id(change)) in imdb_ids:
                who = change.label.partition(" · ")[0]
                fields = {"recommended by": [None, who]} if kind == "vote" else change.fields
                found.setdefault(imdb_id or "", {}).update(fields)
    return found


def _imdb_id(change: Change) -> str | None:
    found = IMDB_ID.match(change.key)
    return found[0] if found else None
