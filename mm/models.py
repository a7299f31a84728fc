"""The tables, and queries of one table. All times are float Unix seconds, UTC.

Three marks, never mixed up: `last_modified` is when the user changed a row (it travels in exports);
`updated_at` is when this server last changed its JSON (strictly increasing, drives the sync feed);
`user.library_version` counts the user's own writes (plans and nightly backups compare it).
"""

import functools
import json
import uuid
from collections.abc import Iterable

from peewee import (
    AutoField,
    BooleanField,
    Database,
    DoubleField,
    Field,
    ForeignKeyField,
    IntegerField,
    JSONField,
    SchemaManager,
    SqliteDatabase,
    TextField,
)

from mm import clock
from mm.database import AutoIncrementField, Table, fold, insert_rows, update_rows

STATUSES = ("toWatch", "watched", "custom", "deleted")
PROVIDER_STATES = ("stub", "ready", "missing", "failed")
PERSON_COLOR = "#0a84ff"
LIST_COLOR = "#0a84ff"
LIST_ICON = "star"
# (quick_key, name, color, emoji): seeded for each user, never deleted.
QUICK_RECOMMENDERS = (
    ("youtube", "Random YouTube Video", "#bf5af2", "📺"),
    ("oscar", "Oscar Winner/Nominee", "#ffd60a", "🏆"),
    ("random_person", "Random Person", "#30d158", "🤝"),
    ("google", "Google Search", "#64d2ff", "🔎"),
)
# Well above the smallest difference between two floats near 2e9.
CLOCK_STEP = 1e-6
# Up to so many rows of one write get an `updated_at` each.
SPREAD_MAX = 1000
# The setting that holds when the whole server was last restored, as a value of `updated_at`.
EPOCH = "epoch"


class User(Table):
    id = TextField(primary_key=True, default=lambda: str(uuid.uuid4()))
    email = TextField()
    email_key = TextField(unique=True)
    username = TextField()
    username_key = TextField(unique=True)
    password_hash = TextField()
    created_at = DoubleField(default=clock.now)
    is_active = BooleanField(default=True)
    is_admin = BooleanField(default=False)
    backup_enabled = BooleanField(default=False)
    token_version = IntegerField(default=0)
    library_version = IntegerField(default=0)
    # The last scheduled backup that was completed and verified: its sidecar's created_at.
    last_completed_at = DoubleField(null=True)
    # The library_version that it holds.
    saved_version = IntegerField(null=True)
    next_try_at = DoubleField(null=True)
    failed_tries = IntegerField(default=0)
    last_error = TextField(null=True)
    # The scheduled backups that stay: services/backup/policies. 0 means none of that kind.
    keep_daily = IntegerField(default=14)
    keep_weekly = IntegerField(default=0)
    keep_monthly = IntegerField(default=0)
    keep_yearly = IntegerField(default=0)
    # For flask-login.
    is_authenticated = True

    def get_id(self) -> str:
        """For flask-login: what a session holds. Raising token_version ends the session."""
        return f"{self.id}:{self.token_version}"


class Title(Table):
    """One row for each film, shared by all users; only the server writes it.

    `source`: who describes it, tmdb, omdb or imdb (the catalogue); null while nobody does.
    `imdb_votes`: how many people the IMDb rating is the average of.
    """

    imdb_id = TextField(primary_key=True)
    tmdb_id = IntegerField(null=True)
    media_type = TextField(null=True)
    title = TextField(null=True)
    original_title = TextField(null=True)
    year = IntegerField(null=True)
    runtime = IntegerField(null=True)
    genres = JSONField(default=list)
    directors = JSONField(default=list)
    cast = JSONField(default=list)
    overview = TextField(null=True)
    poster_path = TextField(null=True, index=True)
    imdb_rating = DoubleField(null=True)
    rotten_tomatoes = IntegerField(null=True)
    metacritic = IntegerField(null=True)
    search_text = TextField(default="")
    # When a user added or opened it: such titles are looked up first.
    wanted_at = DoubleField(null=True, index=True)
    tmdb_state = TextField(default="stub")
    tmdb_reason = TextField(null=True)
    tmdb_attempts = IntegerField(default=0)
    tmdb_retry_at = DoubleField(null=True)
    tmdb_fetched_at = DoubleField(null=True, index=True)
    omdb_state = TextField(default="stub")
    omdb_reason = TextField(null=True)
    omdb_attempts = IntegerField(default=0)
    omdb_retry_at = DoubleField(null=True)
    omdb_fetched_at = DoubleField(null=True)
    # Last, because SQLite reads a row up to the last column of a query, and these are long.
    tmdb_body = JSONField(null=True)
    omdb_body = JSONField(null=True)
    source = TextField(null=True, index=True)
    imdb_votes = IntegerField(null=True)

    class Meta:
        indexes = (
            (("tmdb_state", "tmdb_retry_at"), False),
            (("omdb_state", "omdb_retry_at"), False),
        )


class TitleJson(Table):
    """A title's JSON as clients get it, made when the title is filled and copied into answers as it
    is. Rows of another `version` of that JSON are made anew."""

    title = ForeignKeyField(Title, column_name="imdb_id", primary_key=True, on_delete="CASCADE")
    version = TextField()
    tmdb = TextField(null=True)
    omdb = TextField(null=True)


class TmdbLink(Table):
    """The film or series at TMDB that an administrator chose for an IMDb id which TMDB does not
    know. `media_type`: movie or tv."""

    title = ForeignKeyField(Title, column_name="imdb_id", primary_key=True, on_delete="CASCADE")
    tmdb_id = IntegerField()
    media_type = TextField()


class CustomList(Table):
    # Imported lists keep the ids of their file, so `id` is unique for one user only.
    pk = AutoField()
    id = TextField(default=lambda: str(uuid.uuid4()))
    user = ForeignKeyField(User, backref="lists", on_delete="CASCADE")
    name = TextField()
    color = TextField(default=LIST_COLOR)
    icon = TextField(default=LIST_ICON)
    position = IntegerField(default=0)
    created_at = DoubleField()
    last_modified = DoubleField()
    updated_at = DoubleField()
    # As of a movie.
    imported_at = DoubleField(null=True)
    description = TextField(null=True)

    class Meta:
        indexes = ((("user", "id"), True), (("user", "updated_at"), False))


class Movie(Table):
    """`custom_list` is the list of the status custom: set for exactly those films, and each of them
    has a ListFilm there too.

    `hint_title` and `hint_year` come from a file or were typed by hand. They are shown to this user
    while the title table has none. Whoever writes the hint or the note also writes `search_text`,
    as `services.shown_titles.search_text` makes it of them.
    """

    id = AutoField()
    user = ForeignKeyField(User, backref="movies", on_delete="CASCADE")
    title = ForeignKeyField(Title, column_name="imdb_id", on_delete="RESTRICT")
    media_type = TextField(null=True)
    status = TextField(default="toWatch")
    custom_list = ForeignKeyField(
        CustomList, null=True, column_name="custom_list_pk", on_delete="SET NULL"
    )
    date_added = DoubleField()
    last_modified = DoubleField()
    updated_at = DoubleField()
    # When an import or an undo last wrote it: both keep the old last_modified.
    imported_at = DoubleField(null=True)
    hint_title = TextField(null=True)
    hint_year = IntegerField(null=True)
    # Last, because SQLite reads a row up to the last column of a query, and these may be long.
    note = TextField(null=True)
    search_text = TextField(null=True)

    class Meta:
        indexes = (
            (("user", "title"), True),
            (("user", "updated_at"), False),
            # For the library page, which reads its counts from the second index alone.
            (("user", "date_added"), False),
            (("user", "status", "custom_list", "date_added"), False),
        )


class ListFilm(Table):
    """A film on a list: on as many lists as its user likes, whatever its status. `position` sorts
    the films of the list, and may have gaps."""

    id = AutoField()
    custom_list = ForeignKeyField(
        CustomList,
        backref="films",
        column_name="custom_list_pk",
        on_delete="CASCADE",
        index=False,
    )
    movie = ForeignKeyField(Movie, backref="list_films", on_delete="CASCADE")
    position = IntegerField()
    note = TextField(null=True)

    class Meta:
        indexes = ((("custom_list", "movie"), True), (("custom_list", "position"), False))


class ListShare(Table):
    """A link that shows a list to whoever has it, without a log-in. `token` is the end of its
    address; without `expires_at` it works until it is revoked. `shows_notes`: with the list's
    description and its notes on films."""

    token = TextField(primary_key=True)
    custom_list = ForeignKeyField(
        CustomList, unique=True, column_name="custom_list_pk", on_delete="CASCADE"
    )
    shows_notes = BooleanField(default=False)
    created_at = DoubleField()
    expires_at = DoubleField(null=True)


class Watch(Table):
    """Where `day_known` is false, `date_watched` is when the watch was noted down, and nobody knows
    when it was."""

    id = AutoField()
    movie = ForeignKeyField(Movie, backref="watches", on_delete="CASCADE", index=False)
    date_watched = DoubleField()
    my_rating = DoubleField(null=True)
    note = TextField(null=True)
    day_known = BooleanField(default=True)

    class Meta:
        indexes = ((("movie", "date_watched"), True),)


class Ranking(Table):
    """A watched film's place in the user's ranking. `position` sorts the liked films and the others
    separately. It may have gaps: the places that are shown are counted while reading."""

    movie = ForeignKeyField(Movie, primary_key=True, backref="rankings", on_delete="CASCADE")
    liked = BooleanField()
    position = IntegerField()
    ranked_at = DoubleField()


class Person(Table):
    id = AutoIncrementField()
    user = ForeignKeyField(User, backref="people", on_delete="CASCADE", index=False)
    name = TextField()
    name_key = TextField()
    is_trusted = BooleanField(default=False)
    color = TextField(default=PERSON_COLOR)
    emoji = TextField(null=True)
    quick_key = TextField(null=True)
    last_modified = DoubleField()
    updated_at = DoubleField()
    # As of a movie.
    imported_at = DoubleField(null=True)

    class Meta:
        indexes = (
            (("user", "name_key"), True),
            (("user", "quick_key"), True),
            (("user", "updated_at"), False),
        )


class Recommendation(Table):
    id = AutoField()
    movie = ForeignKeyField(Movie, backref="recommendations", on_delete="CASCADE", index=False)
    person = ForeignKeyField(Person, backref="recommendations", on_delete="CASCADE")
    date_recommended = DoubleField()
    vote_type = BooleanField(default=True)

    class Meta:
        indexes = ((("movie", "person"), True),)


class SavedView(Table):
    # The sync feed orders rows by a number.
    pk = AutoField()
    id = TextField(unique=True, default=lambda: str(uuid.uuid4()))
    user = ForeignKeyField(User, on_delete="CASCADE", index=False)
    name = TextField()
    filters = JSONField(default=dict)
    position = IntegerField(default=0)
    last_modified = DoubleField()
    updated_at = DoubleField()

    class Meta:
        indexes = ((("user", "name"), True), (("user", "updated_at"), False))


class UserSetting(Table):
    """A user's own setting of the pages, such as sizes and sort order. It is no part of a library:
    writing one does not raise library_version. `value` is JSON, as of a Setting."""

    user = ForeignKeyField(User, on_delete="CASCADE", index=False)
    key = TextField()
    value = TextField()

    class Meta:
        indexes = ((("user", "key"), True),)


class Tombstone(Table):
    """What was deleted, for the sync feed. `key` is the imdb_id of a movie, or the id of a person,
    list or view, by `kind`: movie, person, list, view. `name_key` is a person's folded name,
    because a phone may add a person whose id it does not know."""

    user = ForeignKeyField(User, on_delete="CASCADE", index=False)
    kind = TextField()
    key = TextField()
    deleted_at = DoubleField()
    updated_at = DoubleField()
    name_key = TextField(null=True)

    class Meta:
        indexes = ((("user", "kind", "key"), True), (("user", "updated_at"), False))


class SyncAction(Table):
    user = ForeignKeyField(User, on_delete="CASCADE", index=False)
    action_key = TextField()
    answer = JSONField()
    created_at = DoubleField(index=True)

    class Meta:
        indexes = ((("user", "action_key"), True),)


class UndoStep(Table):
    """`rows` as they were before a change, and the digest of what they are `after` it."""

    token = TextField(primary_key=True)
    user = ForeignKeyField(User, on_delete="CASCADE")
    rows = JSONField()
    after = TextField()
    created_at = DoubleField(index=True)


class Setting(Table):
    """A setting of the server. `value` is JSON in a TextField, because JSONField would be bound to
    one engine, and a scratch database may be on another."""

    key = TextField(primary_key=True)
    value = TextField()


class Job(Table):
    """Long work. The rows are the queue; whoever runs one holds a lock named after its id."""

    id = TextField(primary_key=True, default=lambda: str(uuid.uuid4()))
    kind = TextField()
    user = ForeignKeyField(User, null=True, on_delete="CASCADE")
    state = TextField(default="queued", index=True)
    done = IntegerField(default=0)
    total = IntegerField(default=0)
    message = TextField(default="")
    params = JSONField(default=dict)
    # How often it was started: a job that kills its process each time is given up.
    starts = IntegerField(default=0)
    result = JSONField(null=True)
    created_at = DoubleField(default=clock.now)
    started_at = DoubleField(null=True)
    finished_at = DoubleField(null=True)
    # When a worker last tried it and found what it needs in use.
    tried_at = DoubleField(null=True)


class EndedSession(Table):
    """A session ended by logging out, before its cookie expires. `key` is in the cookie."""

    key = TextField(primary_key=True)
    ended_at = DoubleField(index=True)


class AccountLink(Table):
    """A link that lets its holder create an account (kind `invite`) or set a new password (kind
    `reset`, of `user`), once. Only the SHA-256 of its token is kept."""

    digest = TextField(primary_key=True)
    kind = TextField()
    user = ForeignKeyField(User, null=True, on_delete="CASCADE")
    # For the list of invitations: whom it is for.
    note = TextField(default="")
    is_admin = BooleanField(default=False)
    created_at = DoubleField()
    expires_at = DoubleField(index=True)


# Parents before children: the order rows can be written in.
TABLES: list[type[Table]] = [
    User,
    Title,
    TitleJson,
    TmdbLink,
    CustomList,
    Movie,
    ListFilm,
    ListShare,
    Watch,
    Ranking,
    Person,
    Recommendation,
    SavedView,
    UserSetting,
    Tombstone,
    SyncAction,
    UndoStep,
    Setting,
    Job,
    EndedSession,
    AccountLink,
]

# The columns a user owns, for each row of a library: an export writes them, an import compares and
# takes them, and Undo puts them back. Each list is in the order of the row's fields in
# `schemas/portable`. Not here, and named where they are needed: other rows that a row points to (a
# film's list, a vote's person, a list's films), a film's hint (hint_title and hint_year: taking one
# is no change), and what never changes (imdb_id, a list's id, quick_key).
OWNED: dict[type[Table], tuple[Field, ...]] = {
    Movie: (Movie.media_type, Movie.status, Movie.date_added, Movie.last_modified, Movie.note),
    Watch: (Watch.date_watched, Watch.my_rating, Watch.note, Watch.day_known),
    Recommendation: (Recommendation.date_recommended, Recommendation.vote_type),
    Person: (Person.name, Person.is_trusted, Person.color, Person.emoji, Person.last_modified),
    CustomList: (
        CustomList.name,
        CustomList.color,
        CustomList.icon,
        CustomList.position,
        CustomList.created_at,
        CustomList.last_modified,
        CustomList.description,
    ),
    SavedView: (SavedView.name, SavedView.filters, SavedView.position, SavedView.last_modified),
    Ranking: (Ranking.liked, Ranking.position, Ranking.ranked_at),
}


def owned_names(table: type[Table]) -> list[str]:
    return [column.name for column in OWNED[table]]


def new_values(table: type[Table], given: dict) -> dict:
    """What a new row's owned columns hold: the given values, else the columns' defaults."""
    return {column.name: column.default for column in OWNED[table]} | given


def scratch() -> SqliteDatabase:
    """An empty database in memory with the current tables, open; the caller closes it."""
    database = SqliteDatabase(":memory:", pragmas={"foreign_keys": 1})
    database.connect()
    database.connection().executescript(_statements_of_tables())
    return database


@functools.cache
def _statements_of_tables() -> str:
    """What makes them in SQLite. Kept, because Peewee takes many times as long to say it as SQLite
    to do it, and each backup is verified in a database of its own."""
    database = SqliteDatabase(":memory:")
    with database.connection_context():
        for table in TABLES:
            SchemaManager(table, database=database).create_all()
        rows = database.execute_sql(
            "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
        )
        return ";\n".join(sql for (sql,) in rows)


def ensure_titles(database: Database, imdb_ids: Iterable[str]) -> None:
    """Insert a stub for each film that has no title yet. Stubs are the queue of enrichment."""
    values = ("[]", "[]", "[]", "", "stub", 0, "stub", 0)
    fields = [
        Title.imdb_id,
        Title.genres,
        Title.directors,
        Title.cast,
        Title.search_text,
        Title.tmdb_state,
        Title.tmdb_attempts,
        Title.omdb_state,
        Title.omdb_attempts,
    ]
    insert_rows(database, fields, ((imdb_id, *values) for imdb_id in imdb_ids), ignore=True)


def next_update(database: Database, count: int = 1) -> float:
    """The first of `count` values of `updated_at`, CLOCK_STEP apart, for this transaction's rows.
    All are larger than any value before. Call inside a write transaction.

    The row of the clock is locked until the commit, so values and commits have the same order.
    """
    insert_rows(database, [Setting.key, Setting.value], [("clock", "0")], ignore=True)
    clock_row = Setting.key == "clock"
    Setting.update(value=Setting.value).where(clock_row).execute(database)
    last = Setting.select(Setting.value).where(clock_row).scalar(database)
    first = max(clock.now(), float(last) + CLOCK_STEP)
    Setting.update(value=repr(first + (count - 1) * CLOCK_STEP)).where(clock_row).execute(database)
    return first


def spread_updates(database: Database, user_id: str, updated_at: float) -> None:
    """After a write of many rows, give this user's rows with the same `updated_at` consecutive
    values: each poll of the sync feed repeats what the client read last, which should be one row.

    Of more than SPREAD_MAX rows, only the last gets a value of its own. That is enough, and writing
    100,000 rows twice would keep other writers waiting.
    """
    for table in (Person, CustomList, SavedView, Movie, Tombstone):
        key = table._meta.primary_key
        same = table.select(key).where((table.user == user_id) & (table.updated_at == updated_at))
        last = same.order_by(key.desc()).limit(SPREAD_MAX + 1)
        keys = [row[0] for row in database.execute(last)]
        if len(keys) > 1:
            keys = keys[:1] if len(keys) > SPREAD_MAX else keys[::-1]
            first = next_update(database, len(keys))
            rows = ((first + number * CLOCK_STEP, row_key) for number, row_key in enumerate(keys))
            update_rows(database, [table.updated_at], [key], rows)


def setting(key: str, default=None):
    row = Setting.get_or_none(Setting.key == key)
    return default if row is None else json.loads(row.value)


def epoch() -> float:
    """When the whole server was last restored, as a value of `updated_at`; 0.0 for never. What
    clients remember from before does not count any more."""
    return setting(EPOCH, 0.0)


def put_setting(key: str, value) -> None:
    text = json.dumps(value, ensure_ascii=False)
    Setting.insert(key=key, value=text).on_conflict(
        conflict_target=[Setting.key], update={Setting.value: text}
    ).execute()


def user_by_name(text: str) -> User | None:
    """By email address or username, ignoring case; None where there is none."""
    return User.get_or_none((User.email_key == fold(text)) | (User.username_key == fold(text)))


def touch_library(database: Database, user_id: str) -> None:
    """Count one write to this user's library. Call inside its transaction."""
    User.update(library_version=User.library_version + 1).where(User.id == user_id).execute(
        database
    )


def add_quick_recommenders(
    database: Database, user_id: str, last_modified: float, updated_at: float
) -> None:
    """The people that every new account has. Call inside a transaction."""
    columns = (*OWNED[Person], Person.name_key, Person.quick_key, Person.user, Person.updated_at)
    rows = []
    for quick_key, name, color, emoji in QUICK_RECOMMENDERS:
        shown = {"name": name, "color": color, "emoji": emoji, "last_modified": last_modified}
        values = new_values(Person, shown)
        rows.append((*values.values(), fold(name), quick_key, user_id, updated_at))
    insert_rows(database, columns, rows)
