"""Made-up requests of every kind against every operation of the document: no 5xx, and no answer
outside its schema.

`MM_TEST_EXAMPLES` sets how many for each operation; the suite's few are always the same.
"""

import itertools
import os
import warnings

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import schemathesis

from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from mm import auth, config, create_app, models
from mm import schema as database_schema
from mm.database import db
from mm.models import User
from mm.providers import client, limits
from mm.services import accounts, jobs
from mm.services.backup import backups
from mm.services.library import lists, movies, people, saved_views
from mm.services.server import archives
from tests.conftest import PASSWORD, QUICK_HASH
from tests.support import standin as stand

pytestmark = [
    pytest.mark.slow,
    # schemathesis does not close what Flask streams.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
FILM = stand.FILM_IDS[0]
# Of a film and of a series.
tmdb_ids = itertools.cycle((5000, 7001))
numbers = itertools.count(1)
# Of each operation: half of them name something that is there.
EXAMPLES = int(os.environ.get("MM_TEST_EXAMPLES", "12"))
# The rest asks for what this API does not promise, such as a 405 for every method or a 422 for
# every odd query.
load_all_checks()
CHOSEN = CHECKS.get_by_names(
    [
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    ]
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with stand.running() as standin, pytest.MonkeyPatch.context() as patch:
        patch.setattr(accounts, "generate_password_hash", QUICK_HASH)
        patch.setattr(accounts, "_DECOY", QUICK_HASH("decoy"))
        patch.setattr(client, "sleep", lambda _: None)
        for name in ("tmdb_interactive", "omdb_interactive"):
            patch.setattr(limits, name, limits.RateLimiter(2000, ceiling=2000))
        app = create_app(
            config.Config(
                data_dir=tmp_path_factory.mktemp("made-up"),
                admin_token="open sesame",
                **standin.config(),
            )
        )
        database_schema.upgrade()
        accounts.create("carol@example.org", "carol", PASSWORD, is_admin=True)
        yield app
        db.close()


@pytest.fixture(scope="module")
def api_schema(server):
    return schemathesis.openapi.from_wsgi("/docs/openapi.json", server)


def test_every_answer_conforms_to_the_document(server, api_schema, subtests):
    """pytest's own parameters would need the document before there is an app."""
    for operation in (found.ok() for found in api_schema.get_all_operations()):
        with subtests.test(operation.label):
            ask_all_kinds(server, operation)


def ask_all_kinds(server, operation):
    turns = itertools.count()

    @given(st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in GenerationMode)))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    def ask(case):
        if next(turns) % 2:
            case.path_parameters = {
                name: existing(name, value) for name, value in (case.path_parameters or {}).items()
            }
        with server.app_context():
            token = auth.issue_token(carol())
        headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}
        answer = case.call_and_validate(headers=headers, checks=CHOSEN)
        # 502 is the provider's own 404, for a film that it does not have.
        assert answer.status_code < 500 or answer.status_code == 502

    ask()


def carol():
    return User.get(User.username == "carol")


def existing(name, value):
    """Something of Carol's that the path may name; most made-up ids are nobody's."""
    made = {
        "imdb_id": a_film,
        "person": a_person,
        "name": a_person,
        "list_id": a_list,
        "view_id": a_view,
        "filename": a_backup,
        "tmdb_id": lambda: next(tmdb_ids),
        "timestamp": an_archive,
        "job_id": a_job,
        "kind": lambda: "people",
    }
    return made[name]() if name in made else value


def a_film():
    movies.add(carol().id, FILM, recommenders=["Zoe"])
    movies.watch(carol().id, FILM)
    return FILM


def a_person():
    return people.find(carol().id, "Zoe").name if library_has_zoe() else a_film() and "Zoe"


def library_has_zoe():
    return models.Person.select().where(models.Person.name == "Zoe").exists()


def a_list():
    return lists.create(carol().id, "Best").id


def a_view():
    return saved_views.create(carol().id, f"View {next(numbers)}", {"q": "a"}).id


def a_backup():
    found = backups.listing(carol().id)
    return found[0].filename if found else backups.create(carol()).filename


def an_archive():
    found = archives.listing()
    return found[0].timestamp if found else archives.create(database=False).timestamp


def a_job():
    return jobs.create("archive-check").id
