"""Who describes a title, and how many votes its IMDb rating has."""

from peewee import *


def up(migrator, db):
    class Title(Model):
        imdb_id = TextField(primary_key=True)
        source = TextField(null=True, index=True)
        tmdb_body = TextField(null=True)
        omdb_body = TextField(null=True)

        class Meta:
            database = db
            legacy_table_names = False

    migrator.migrate(
        migrator.add_column("title", "source", Title.source),
        migrator.add_column("title", "imdb_votes", IntegerField(null=True)),
    )
    # Each title once: SQLite writes the whole row anew, and the bodies are long.
    has_tmdb, has_omdb = Title.tmdb_body.is_null(False), Title.omdb_body.is_null(False)
    Title.update(source="tmdb").where(has_tmdb).execute()
    Title.update(source="omdb").where(~has_tmdb & has_omdb).execute()
