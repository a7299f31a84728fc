"""What a user has done since a moment, by name: why a plan is no longer true, and what an undo
would take back besides.

A name is a film's title, or what a person, a list or a saved view is called.
"""

from peewee import JOIN, Expression, ModelSelect, fn

from mm import models
from mm.database import Table
from mm.models import CustomList, Movie, Person, SavedView, Title, Tombstone, User
from mm.services import shown_titles

NAMED = 2
ALSO_UNDONE = "{} changed since then. That is undone too."
# Of what is gone the name is forgotten, but for films.
GONE = {"person": "a deleted person", "list": "a deleted list", "view": "a deleted view"}


def mark(user_id: str) -> float:
    """The `updated_at` of what the user's library was changed by last, be it a restore of the whole
    server; the moment to ask for later, whatever the clock does until then."""
    newest = (
        table.select(fn.MAX(table.updated_at)).where(table.user == user_id).scalar() or 0.0
        for table in (Movie, Person, CustomList, SavedView, Tombstone)
    )
    return max(models.epoch(), *newest)


def names(user_id: str, moment: float, at_least_one: bool = False) -> list[str]:
    """What was changed, imported or removed after the mark, the newest first. What was only looked
    up, or only shows something else that changed, is left out; but where it is known that there is
    `at_least_one`, and nothing else is found, it is among these: what a phone did long ago has an
    old last_modified. Where the whole server was restored since, every row was written since then,
    and only the users' own times tell what they did."""
    is_restored = moment < models.epoch()
    found: list[tuple[float, str]] = []
    tables: tuple[tuple[type[Table], ModelSelect], ...] = (
        (Movie, Movie.select(Movie.updated_at, fn.COALESCE(shown_titles.TITLE, Movie.title))),
        (Person, Person.select(Person.updated_at, Person.name)),
        (CustomList, CustomList.select(CustomList.updated_at, CustomList.name)),
        (SavedView, SavedView.select(SavedView.updated_at, SavedView.name)),
    )
    for table, select in tables:
        rows = select.join(Title) if table is Movie else select
        mine = _newer(table, user_id, moment) & _by_hand(table, moment)
        found.extend(rows.where(mine).tuples())
    gone = Tombstone.select(Tombstone.updated_at, Tombstone.kind, Tombstone.key, Title.title)
    gone = gone.join(Title, JOIN.LEFT_OUTER, on=(Tombstone.key == Title.imdb_id))
    mine = _newer(Tombstone, user_id, moment)
    if is_restored:
        mine &= Tombstone.deleted_at > moment
    for at, kind, key, title in gone.where(mine).tuples():
        found.append((at, GONE.get(kind) or title or key))
    if at_least_one and not found and not is_restored:
        for table, select in tables:
            rows = select.join(Title) if table is Movie else select
            found.extend(rows.where(_newer(table, user_id, moment)).tuples())
    return [name for _, name in sorted(found, reverse=True)]


def _newer(table: type[Table], user_id: str, moment: float) -> Expression:
    return (table.user == user_id) & (table.updated_at > moment)


def _by_hand(table: type[Table], moment: float) -> Expression:
    by_hand = table.last_modified > moment
    # A saved view is only ever written by its user.
    return by_hand if table is SavedView else by_hand | (table.imported_at > moment)


def sentence(named: list[str]) -> str:
    """Such as "Heat, Alien and 3 more". "Your library" where there is no name."""
    if not named:
        return "Your library"
    texts = list(dict.fromkeys(named))[: NAMED + 1]
    if len(named) > len(texts) or len(named) > NAMED + 1:
        texts = texts[:NAMED]
        texts.append(f"{len(named) - len(texts):,} more")
    *first, last = texts
    return f"{', '.join(first)} and {last}" if first else last


def also_undone(user_id: str, moment: float, copied_version: int) -> str | None:
    """What an undo takes back besides, in a sentence: what was done after the `moment` at which the
    library was written. None where that is nothing. `copied_version`: the library_version of the
    copy from right before it."""
    version = User.select(User.library_version).where(User.id == user_id).scalar()
    named = names(user_id, moment, at_least_one=version - copied_version > 1)
    return ALSO_UNDONE.format(sentence(named)) if named else None
