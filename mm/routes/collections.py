"""People, lists, views and settings as small files: chosen and exported, and imported after a look
at the preview."""

from flask import Blueprint

bp = Blueprint("collections", __name__, url_prefix="/collections")
