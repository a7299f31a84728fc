import pytest

from mm import config
from mm.database import db
from mm.services import accounts
from tests.conftest import PASSWORD
from tests.server import archives


@pytest.fixture
def server(app):
    """Two users, 50 titles and a poster."""
    with db.connection_context():
        for name in ("alice", "bob"):
            accounts.create(f"{name}@example.org", name, PASSWORD)
        for number in range(50):
            db.execute_sql(
                'INSERT INTO title (imdb_id, genres, directors, "cast", search_text, tmdb_state, '
                "tmdb_attempts, omdb_state, omdb_attempts, overview) "
                "VALUES (?, '[]', '[]', '[]', '', 'stub', 0, 'stub', 0, ?)",
                (f"tt{number:07d}", "words " * 50),
            )
    archives.add_poster()
    return config.current


@pytest.fixture
def archive(server, tmp_path):
    """The path of an archive of everything."""
    path = tmp_path / "archive.zip"
    archives.make(path)
    return path


@pytest.fixture
def scratch_is_empty():
    """After the test nothing is left in data/tmp."""
    yield
    assert archives.left_in(config.current.tmp_dir) == []
