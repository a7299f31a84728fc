"""Invitations and links for a new password, and the films at TMDB that administrators chose."""

from peewee import *


def up(migrator, db):
    class Table(Model):
        class Meta:
            database = db
            legacy_table_names = False

    class User(Table):
        id = TextField(primary_key=True)

    class Title(Table):
        imdb_id = TextField(primary_key=True)

    class TmdbLink(Table):
        title = ForeignKeyField(Title, column_name="imdb_id", primary_key=True, on_delete="CASCADE")
        tmdb_id = IntegerField()
        media_type = TextField()

    class AccountLink(Table):
        digest = TextField(primary_key=True)
        kind = TextField()
        user = ForeignKeyField(User, null=True, on_delete="CASCADE")
        note = TextField()
        is_admin = BooleanField()
        created_at = DoubleField()
        expires_at = DoubleField(index=True)

    db.create_tables([TmdbLink, AccountLink])
