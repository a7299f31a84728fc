"""A list shown by a link: made and revoked by its owner, opened by anybody who has it."""

from flask import Blueprint

bp = Blueprint("shares", __name__)
