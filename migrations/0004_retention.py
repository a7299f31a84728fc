"""How many backups each user keeps. Fourteen days, as it was for all of them."""

from peewee import *


def up(migrator, db):
    migrator.migrate(
        migrator.add_column("user", "keep_daily", IntegerField(default=14)),
        migrator.add_column("user", "keep_weekly", IntegerField(default=0)),
        migrator.add_column("user", "keep_monthly", IntegerField(default=0)),
        migrator.add_column("user", "keep_yearly", IntegerField(default=0)),
    )
