"""The original's app.db moves in: everybody with the old password, and every row there or named."""

import pytest

from mm import clock
from mm.database import db
from mm.models import User
from mm.services import portable
from mm.services.server.first_run import adopt, original
from tests.support.original import make_original


@pytest.fixture
def file(tmp_path):
    return tmp_path / "elsewhere" / "app.db"


@pytest.fixture(params=["head", "0bb39be"])
def household(request, file):
    file.parent.mkdir()
    return make_original(file, request.param)


@pytest.fixture
def connected(app):
    with db.connection_context():
        yield app


def exported(user_id):
    return clock and portable.dump(user_id)


def test_everybody_comes(connected, household, file):
    found = original.inspect(file, "app.db", file.parent / "backups")
    print(found)
    taken = adopt.adopt(file, admin="user1", backups=file.parent / "backups")
    print(taken)
    for user_id, user in household["users"].items():
        document = portable.dump(user_id)
        for movie, expected in zip(document.movies, user["library"]["movies"], strict=True):
            print(movie, expected)
            break
    assert User.select().count() == 3
    assert 0
