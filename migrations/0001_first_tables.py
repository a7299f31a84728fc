"""All tables of the first release: frozen copies, independent of the models of today."""

from peewee import *
from peewee import NodeList


def up(migrator, db):
    class Table(Model):
        class Meta:
            database = db
            legacy_table_names = False

    class User(Table):
        id = TextField(primary_key=True)
        email = TextField()
        email_key = TextField(unique=True)
        username = TextField()
        username_key = TextField(unique=True)
        password_hash = TextField()
        created_at = DoubleField()
        is_active = BooleanField()
        is_admin = BooleanField()
        backup_enabled = BooleanField()
        token_version = IntegerField()
        library_version = IntegerField()
        last_completed_at = DoubleField(null=True)
        saved_version = IntegerField(null=True)
        next_try_at = DoubleField(null=True)
        failed_tries = IntegerField()
        last_error = TextField(null=True)

    class Title(Table):
        imdb_id = TextField(primary_key=True)
        tmdb_id = IntegerField(null=True)
        media_type = TextField(null=True)
        title = TextField(null=True)
        original_title = TextField(null=True)
        year = IntegerField(null=True)
        runtime = IntegerField(null=True)
        genres = JSONField()
        directors = JSONField()
        cast = JSONField()
        overview = TextField(null=True)
        poster_path = TextField(null=True, index=True)
        imdb_rating = DoubleField(null=True)
        rotten_tomatoes = IntegerField(null=True)
        metacritic = IntegerField(null=True)
        search_text = TextField()
        wanted_at = DoubleField(null=True, index=True)
        tmdb_state = TextField()
        tmdb_reason = TextField(null=True)
        tmdb_attempts = IntegerField()
        tmdb_retry_at = DoubleField(null=True)
        tmdb_fetched_at = DoubleField(null=True, index=True)
        omdb_state = TextField()
        omdb_reason = TextField(null=True)
        omdb_attempts = IntegerField()
        omdb_retry_at = DoubleField(null=True)
        omdb_fetched_at = DoubleField(null=True)
        tmdb_body = JSONField(null=True)
        omdb_body = JSONField(null=True)

        class Meta:
            indexes = (
                (("tmdb_state", "tmdb_retry_at"), False),
                (("omdb_state", "omdb_retry_at"), False),
            )

    class CustomList(Table):
        pk = AutoField()
        id = TextField()
        user = ForeignKeyField(User, on_delete="CASCADE")
        name = TextField()
        color = TextField()
        icon = TextField()
        position = IntegerField()
        created_at = DoubleField()
        last_modified = DoubleField()
        updated_at = DoubleField()

        class Meta:
            indexes = ((("user", "id"), True), (("user", "updated_at"), False))

    class Movie(Table):
        user = ForeignKeyField(User, on_delete="CASCADE")
        title = ForeignKeyField(Title, column_name="imdb_id", on_delete="RESTRICT")
        media_type = TextField(null=True)
        status = TextField()
        custom_list = ForeignKeyField(
            CustomList, null=True, column_name="custom_list_pk", on_delete="SET NULL"
        )
        date_added = DoubleField()
        last_modified = DoubleField()
        updated_at = DoubleField()
        imported_at = DoubleField(null=True)

        class Meta:
            indexes = (
                (("user", "title"), True),
                (("user", "updated_at"), False),
                (("user", "date_added"), False),
                (("user", "status", "custom_list", "date_added"), False),
            )

    class Watch(Table):
        movie = ForeignKeyField(Movie, on_delete="CASCADE", index=False)
        date_watched = DoubleField()
        my_rating = DoubleField(null=True)

        class Meta:
            indexes = ((("movie", "date_watched"), True),)

    class AutoIncrementField(AutoField):
        def ddl(self, ctx):
            column = super().ddl(ctx)
            if isinstance(db, SqliteDatabase):
                return NodeList((column, SQL("AUTOINCREMENT")))
            return column

    class Person(Table):
        id = AutoIncrementField()
        user = ForeignKeyField(User, on_delete="CASCADE", index=False)
        name = TextField()
        name_key = TextField()
        is_trusted = BooleanField()
        color = TextField()
        emoji = TextField(null=True)
        quick_key = TextField(null=True)
        last_modified = DoubleField()
        updated_at = DoubleField()

        class Meta:
            indexes = (
                (("user", "name_key"), True),
                (("user", "quick_key"), True),
                (("user", "updated_at"), False),
            )

    class Recommendation(Table):
        movie = ForeignKeyField(Movie, on_delete="CASCADE", index=False)
        person = ForeignKeyField(Person, on_delete="CASCADE")
        date_recommended = DoubleField()
        vote_type = BooleanField()

        class Meta:
            indexes = ((("movie", "person"), True),)

    class SavedView(Table):
        id = TextField(primary_key=True)
        user = ForeignKeyField(User, on_delete="CASCADE", index=False)
        name = TextField()
        filters = JSONField()
        position = IntegerField()
        last_modified = DoubleField()

        class Meta:
            indexes = ((("user", "name"), True),)

    class Tombstone(Table):
        user = ForeignKeyField(User, on_delete="CASCADE", index=False)
        kind = TextField()
        key = TextField()
        deleted_at = DoubleField()
        updated_at = DoubleField()

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
        token = TextField(primary_key=True)
        user = ForeignKeyField(User, on_delete="CASCADE")
        rows = JSONField()
        after = TextField()
        created_at = DoubleField(index=True)

    class Setting(Table):
        key = TextField(primary_key=True)
        value = TextField()

    class Job(Table):
        id = TextField(primary_key=True)
        kind = TextField()
        user = ForeignKeyField(User, null=True, on_delete="CASCADE")
        state = TextField(index=True)
        done = IntegerField()
        total = IntegerField()
        message = TextField()
        params = JSONField()
        starts = IntegerField()
        result = JSONField(null=True)
        created_at = DoubleField()
        started_at = DoubleField(null=True)
        finished_at = DoubleField(null=True)

    db.create_tables(
        [
            User,
            Title,
            CustomList,
            Movie,
            Watch,
            Person,
            Recommendation,
            SavedView,
            Tombstone,
            SyncAction,
            UndoStep,
            Setting,
            Job,
        ]
    )
