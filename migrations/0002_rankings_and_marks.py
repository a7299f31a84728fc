"""Rankings, the client's JSON of a title, ended sessions; when an import wrote people and lists.
Undo steps of the version before are forgotten."""

from peewee import *


def up(migrator, db):
    class Table(Model):
        class Meta:
            database = db
            legacy_table_names = False

    class Movie(Table):
        id = AutoField()

    class Title(Table):
        imdb_id = TextField(primary_key=True)

    class Ranking(Table):
        movie = ForeignKeyField(Movie, primary_key=True, on_delete="CASCADE")
        liked = BooleanField()
        position = IntegerField()
        ranked_at = DoubleField()

    class TitleJson(Table):
        title = ForeignKeyField(Title, column_name="imdb_id", primary_key=True, on_delete="CASCADE")
        version = TextField()
        tmdb = TextField(null=True)
        omdb = TextField(null=True)

    class EndedSession(Table):
        key = TextField(primary_key=True)
        ended_at = DoubleField(index=True)

    # They lack what is compared now, and are kept for ten minutes only.
    db.execute_sql("DELETE FROM undo_step")
    db.create_tables([Ranking, TitleJson, EndedSession])
    migrator.migrate(
        migrator.add_column("person", "imported_at", DoubleField(null=True)),
        migrator.add_column("custom_list", "imported_at", DoubleField(null=True)),
        migrator.add_column("tombstone", "name_key", TextField(null=True)),
        migrator.add_column("job", "tried_at", DoubleField(null=True)),
    )
