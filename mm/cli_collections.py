"""`flask --app mm collection …`: people, lists, views and settings of a user as small files."""

from flask import Flask
from flask.cli import AppGroup

collection_group = AppGroup("collection", help="People, lists, views and settings as small files.")


def init_app(app: Flask) -> None:
    app.cli.add_command(collection_group)
