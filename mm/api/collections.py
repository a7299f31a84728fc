"""Portable collections: people, lists, views and settings as small files."""

from flask import Blueprint

bp = Blueprint("collections", __name__, url_prefix="/v1")
