"""Imports go one way: routes, api, tasks and cli import the services, and nothing below imports
what is above. No modules import each other in a circle."""

import ast
import graphlib
import re

import pytest

from mm import config

PACKAGE = config.ROOT / "mm"
# In the README, and in the example of an env file.
WORD = re.compile(r"`([^`]+)`")
SETTING = re.compile(r"#[A-Z_]+=")
SURFACES = ("mm.routes", "mm.api", "mm.tasks", "mm.cli", "mm.htmx", "mm.auth")
WEB = ("flask", "flask_login", "huey", "spectree")
BELOW_SERVICES = (*SURFACES, *WEB, "mm.services")
# folder or module of mm -> what it must not import
FORBIDDEN = {
    "routes": ("mm.api", "mm.cli", "mm.providers", "requests"),
    "api": ("mm.routes", "mm.cli", "mm.providers", "mm.htmx", "requests"),
    "cli.py": ("mm.routes", "mm.api", "mm.htmx"),
    "cli_catalogue.py": ("mm.routes", "mm.api", "mm.htmx"),
    "cli_collections.py": ("mm.routes", "mm.api", "mm.htmx"),
    "cli_first_run.py": ("mm.routes", "mm.api", "mm.htmx"),
    "cli_server.py": ("mm.routes", "mm.api", "mm.htmx"),
    "cli_startup.py": ("mm.routes", "mm.api", "mm.htmx"),
    "stored_settings.py": (*BELOW_SERVICES, "mm.providers", "mm.models"),
    "starting.py": (*BELOW_SERVICES, "mm.providers", "mm.models"),
    "tasks.py": ("mm.routes", "mm.api", "mm.cli", "flask"),
    "auth.py": ("mm.routes", "mm.api", "mm.tasks", "mm.cli"),
    "archive_bodies.py": ("mm.routes", "mm.api", "mm.tasks", "mm.cli", "mm.models", "peewee"),
    "htmx.py": ("mm.services", "mm.models", "mm.database"),
    "login_limits.py": ("mm.services", "mm.models", "mm.database", "flask"),
    "server_errors.py": (*SURFACES, "mm.services", "mm.models"),
    "request_bodies.py": ("mm", "flask", "peewee"),
    "spreadsheets.py": ("mm", "flask", "peewee"),
    "streaming.py": (*SURFACES, "mm.services", "mm.models"),
    "static_files.py": (*SURFACES, "mm.services", "mm.models", "mm.database", "peewee"),
    "ownership.py": ("flask", "peewee", "mm.services", "mm.models", "mm.database"),
    "services": (*SURFACES, *WEB),
    "providers": (*BELOW_SERVICES, "peewee", "mm.models", "mm.database"),
    "schemas": (*BELOW_SERVICES, "peewee", "mm.models", "mm.database"),
    "schema.py": (*BELOW_SERVICES, "mm.providers", "mm.models"),
    "models.py": (*BELOW_SERVICES, "mm.providers"),
    "maintenance.py": (*BELOW_SERVICES, "mm.providers", "mm.models", "mm.database"),
    "locks.py": (*BELOW_SERVICES, "mm.providers", "mm.models"),
    "described_files.py": (*BELOW_SERVICES, "peewee", "mm.providers", "mm.models", "mm.database"),
    "files.py": (*BELOW_SERVICES, "peewee", "mm.providers", "mm.models", "mm.database"),
    "database.py": (*BELOW_SERVICES, "mm.providers", "mm.models"),
    "disk.py": (*BELOW_SERVICES, "mm.providers", "mm.models", "mm.database"),
    "spoken.py": (*BELOW_SERVICES, "peewee", "mm.models", "mm.database", "mm.config"),
    "log.py": (*BELOW_SERVICES, "peewee", "mm.models", "mm.database"),
    "caches.py": ("mm", "flask", "peewee"),
    "config.py": ("mm", "flask", "peewee"),
    "clock.py": ("mm", "flask", "peewee"),
    "dates.py": ("mm", "flask", "peewee"),
    "errors.py": ("mm", "flask", "peewee"),
}
# folder or module of the services -> the others that it may import
ALLOWED = {
    "sync": {"library", "validation"},
    "catalogue": {"jobs"},
    "collections": {
        "backup",
        "date_style",
        "jobs",
        "library",
        "portable",
        "shown_titles",
        "user_settings",
        "validation",
    },
    "library": {
        "catalogue",
        "enrichment",
        "ranking_order",
        "shown_titles",
        "user_settings",
        "validation",
    },
    "backup": {
        "portable",
        "jobs",
        "heartbeat",
        "problems",
        "shown_titles",
        "user_settings",
        "validation",
    },
    "server": {
        "accounts",
        "backup",
        "enrichment",
        "jobs",
        "heartbeat",
        "portable",
        "problems",
        "settings",
        "validation",
    },
    "portable": {"catalogue", "validation", "ranking_order", "shown_titles"},
    "enrichment": {"catalogue", "jobs", "heartbeat", "settings"},
    "health": {"backup", "catalogue", "heartbeat", "problems", "server"},
    "settings": set(),
    "tidying": {"account_links", "accounts", "enrichment", "problems"},
    "jobs": set(),
    "account_links": {"accounts"},
    "accounts": set(),
    "date_style": {"user_settings"},
    "heartbeat": set(),
    "problems": set(),
    "ranking_order": set(),
    "shown_titles": set(),
    "user_settings": set(),
    "validation": set(),
}


def modules_of(place):
    path = PACKAGE / place
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def imported_by(path):
    """Every module a file imports, as dotted names, `from a import b` as both a and a.b."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def places_in(folder):
    """The modules and packages in it, without __init__.py. A folder without modules may be what
    is left of a package that was moved away."""
    paths = sorted((PACKAGE / folder).iterdir())
    modules = [path for path in paths if path.suffix == ".py" or any(path.glob("*.py"))]
    return [path.name for path in modules if not path.name.startswith("_")]


def test_every_module_and_folder_has_its_line():
    assert sorted(FORBIDDEN) == places_in(".")
    assert sorted(ALLOWED) == sorted(name.removesuffix(".py") for name in places_in("services"))


@pytest.mark.parametrize("place", FORBIDDEN)
def test_imports_go_one_way(place):
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in modules_of(place)
        for name in imported_by(path)
        for forbidden in FORBIDDEN[place]
        if name == forbidden or name.startswith(f"{forbidden}.")
    ]
    assert wrong == []


@pytest.mark.parametrize("name", places_in("services"))
def test_a_part_of_the_services_imports_only_those_it_may(name):
    area = name.removesuffix(".py")
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {imported}"
        for path in modules_of(f"services/{name}")
        for imported in imported_by(path)
        if imported.startswith("mm.services.")
        if imported.split(".")[2] not in {area, *ALLOWED[area]}
    ]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle():
    """What a function imports when it is called is left out, and so is a package that only passes
    on what is in its folder."""
    paths = {dotted(path): path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"}
    graph = {
        name: {other for other in imported_at_load(path) if other in paths}
        for name, path in paths.items()
    }
    assert list(graphlib.TopologicalSorter(graph).static_order())


def imported_at_load(path):
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def dotted(path):
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


def test_only_the_clock_asks_for_the_time():
    asked = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if path.name != "clock.py"
        and ("time.time()" in path.read_text() or "datetime.now(" in path.read_text())
    ]
    assert asked == []


def test_every_variable_of_the_configuration_is_in_the_readme():
    readme = readme_text()
    assert [name for name in sorted(config.VARIABLES) if f"`{name}`" not in readme] == []


def test_every_setting_can_be_set_by_a_variable():
    fields = set(config.Config.__dataclass_fields__) - {"given", "stored"}
    assert set(config.VARIABLES.values()) == fields


def test_the_example_of_an_env_file_names_the_variables_of_the_readme_with_their_defaults():
    table = re.search(r"\| variable \|.*?\n\n", readme_text(), re.DOTALL)[0]
    rows = [line.split("|")[1:3] for line in table.splitlines()[2:] if line]
    named = {name: default.strip() for names, default in rows for name in WORD.findall(names)}
    lines = (config.ROOT / ".env.example").read_text().splitlines()
    example = dict(line.removeprefix("#").split("=", 1) for line in lines if SETTING.match(line))
    assert set(example) == set(named)
    assert [line for line in lines if line and not line.startswith("#")] == []
    plain = {name: text.strip("`") for name, text in named.items() if WORD.fullmatch(text)}
    assert {name: example[name] for name in plain} == plain


def test_an_env_file_is_not_for_git():
    assert ".env" in (config.ROOT / ".gitignore").read_text().splitlines()


def readme_text():
    return (config.ROOT / "README.md").read_text()
