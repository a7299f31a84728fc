"""What the tests of enrichment share: a server whose providers are the stand-in, and no waiting."""

import dataclasses

import pytest

from mm import clock, config, models
from mm.database import db
from mm.models import Movie, Title
from mm.providers import client, limits
from mm.services import jobs
from mm.services.enrichment import interactive, lookup_slots, refresh
from mm.services.enrichment import runner as enrichment_runner
from tests.support import standin as stand

HOUR, DAY = 3600, 86400
FILM = stand.FILM_IDS[0]


class Quick(limits.RateLimiter):
    """As fast as it was made, whatever pace is set."""

    def set_pace(self, per_second):
        pass


@pytest.fixture
def settings(tmp_path, standin):
    return config.Config(data_dir=tmp_path / "data", **standin.config())


@pytest.fixture(autouse=True)
def brisk(monkeypatch, database, frozen_clock):
    """No waiting: neither for a slot nor between tries."""
    monkeypatch.setattr(limits, "tmdb_worker", Quick(2000, ceiling=2000))
    monkeypatch.setattr(limits, "omdb_worker", Quick(2000, ceiling=2000))
    monkeypatch.setattr(limits.RateLimiter, "hold_back", lambda *_: None)
    monkeypatch.setattr(client, "sleep", lambda _: None)


@pytest.fixture
def brisk_lookups(monkeypatch, brisk):
    """No waiting for look-ups that somebody waits for, and nothing cached."""
    monkeypatch.setattr(limits, "tmdb_interactive", limits.RateLimiter(2000, ceiling=2000))
    monkeypatch.setattr(limits, "omdb_interactive", limits.RateLimiter(2000, ceiling=2000))
    monkeypatch.setattr(refresh, "WORKER_SECONDS", 20)
    monkeypatch.setattr(lookup_slots, "DEADLINE_SECONDS", 30)
    interactive.cache.clear()
    lookup_slots.silent_providers.clear()


def change(**values):
    """Put other values into the configuration in force."""
    config.use(dataclasses.replace(config.current, **values))


def hold(user, *imdb_ids, status="toWatch"):
    """The user's library holds these films, not looked up yet."""
    now = clock.now()
    with db.atomic():
        models.ensure_titles(db.obj, imdb_ids)
        updated_at = models.next_update(db.obj)
        for imdb_id in imdb_ids:
            Movie.create(
                user=user,
                title=imdb_id,
                status=status,
                date_added=now,
                last_modified=now,
                updated_at=updated_at,
            )


def run():
    return enrichment_runner.run(jobs.create("enrich"))


def states(imdb_id=FILM):
    title = Title.get_by_id(imdb_id)
    return title.tmdb_state, title.omdb_state
