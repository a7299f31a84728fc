"""Links that show a list without a log-in."""

from peewee import *


def up(migrator, db):
    class CustomList(Model):
        pk = AutoField()

        class Meta:
            database = db
            table_name = "custom_list"
            legacy_table_names = False

    class ListShare(Model):
        token = TextField(primary_key=True)
        custom_list = ForeignKeyField(
            CustomList, unique=True, column_name="custom_list_pk", on_delete="CASCADE"
        )
        shows_notes = BooleanField()
        created_at = DoubleField()
        expires_at = DoubleField(null=True)

        class Meta:
            database = db
            legacy_table_names = False

    db.create_tables([ListShare])
