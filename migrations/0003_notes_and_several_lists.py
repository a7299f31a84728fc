"""Notes, hints of titles, several lists a film, views in the sync feed, a user's own settings.
Undo steps of the version before are forgotten."""

import json

from peewee import *

from mm import clock

# A film of status custom joins its list, in the order in which they were added.
JOIN_LISTS = """
INSERT INTO list_film (custom_list_pk, movie_id, position)
SELECT custom_list_pk, id,
    ROW_NUMBER() OVER (PARTITION BY custom_list_pk ORDER BY date_added, imdb_id) - 1
FROM movie WHERE custom_list_pk IS NOT NULL
"""
VIEW = "user_id, name, filters, position, last_modified"
# Between two values of updated_at.
STEP = 1e-6


def up(migrator, db):
    class Table(Model):
        class Meta:
            database = db
            legacy_table_names = False

    class User(Table):
        id = TextField(primary_key=True)

    class CustomList(Table):
        pk = AutoField()

    class Movie(Table):
        id = AutoField()

    class ListFilm(Table):
        id = AutoField()
        custom_list = ForeignKeyField(
            CustomList, column_name="custom_list_pk", on_delete="CASCADE", index=False
        )
        movie = ForeignKeyField(Movie, on_delete="CASCADE")
        position = IntegerField()
        note = TextField(null=True)

        class Meta:
            indexes = ((("custom_list", "movie"), True), (("custom_list", "position"), False))

    class UserSetting(Table):
        user = ForeignKeyField(User, on_delete="CASCADE", index=False)
        key = TextField()
        value = TextField()

        class Meta:
            indexes = ((("user", "key"), True),)

    class SavedView(Table):
        pk = AutoField()
        id = TextField(unique=True)
        user = ForeignKeyField(User, on_delete="CASCADE", index=False)
        name = TextField()
        filters = JSONField()
        position = IntegerField()
        last_modified = DoubleField()
        updated_at = DoubleField()

        class Meta:
            indexes = ((("user", "name"), True), (("user", "updated_at"), False))

    # They lack what is compared now, and are kept for ten minutes only.
    db.execute_sql("DELETE FROM undo_step")
    migrator.migrate(
        migrator.add_column("movie", "hint_title", TextField(null=True)),
        migrator.add_column("movie", "hint_year", IntegerField(null=True)),
        migrator.add_column("movie", "note", TextField(null=True)),
        migrator.add_column("movie", "search_text", TextField(null=True)),
        migrator.add_column("watch", "note", TextField(null=True)),
        migrator.add_column("watch", "day_known", BooleanField(default=True)),
        migrator.add_column("custom_list", "description", TextField(null=True)),
    )
    # The key becomes a number, which takes a new table; no other table points here.
    views = db.execute_sql(
        f"SELECT id, {VIEW} FROM saved_view ORDER BY user_id, position, id"  # noqa: S608
    ).fetchall()
    db.execute_sql("DROP TABLE saved_view")
    db.create_tables([ListFilm, UserSetting, SavedView])
    # A client that is up to date has seen none of them, so each changes now.
    [last] = db.execute_sql("SELECT value FROM setting WHERE key = 'clock'").fetchone() or ["0"]
    updated_at = max(clock.now(), float(last) + STEP)
    param = ", ".join([db.param] * 7)
    for row in views:
        filters = row[3] if isinstance(row[3], str) else json.dumps(row[3])
        db.execute_sql(
            f"INSERT INTO saved_view (id, {VIEW}, updated_at) VALUES ({param})",  # noqa: S608
            (*row[:3], filters, *row[4:], updated_at),
        )
        updated_at += STEP
    update_clock = f"UPDATE setting SET value = {db.param} WHERE key = 'clock'"  # noqa: S608
    db.execute_sql(update_clock, (repr(updated_at),))
    db.execute_sql(JOIN_LISTS)
