"""Imports go one way: routes, api, tasks and cli know the services, and nothing below knows what is
above."""

import ast
import re

import pytest

from mm import config

PACKAGE = config.ROOT / "mm"
# In the README, and in the example of an env file.
WORD = re.compile(r"`([^`]+)`")
SETTING = re.compile(r"#[A-Z_]+=")
ABOVE = ("mm.routes", "mm.api", "mm.tasks", "mm.cli", "mm.htmx", "mm.auth")
WEB = ("flask", "flask_login", "huey", "spectree")
# folder or module -> what it may not import
FORBIDDEN = {
    "services": (*ABOVE, *WEB),
    "providers": (*ABOVE, "flask", "huey", "peewee", "mm.models", "mm.services"),
    "models.py": (*ABOVE, "flask", "huey", "mm.services", "mm.providers"),
    "database.py": (*ABOVE, "flask", "huey", "mm.services", "mm.providers", "mm.models"),
    "locks.py": (*ABOVE, *WEB, "mm.services", "mm.providers", "mm.models"),
    "files.py": (*ABOVE, *WEB, "peewee", "mm.services", "mm.providers", "mm.models"),
    "schema.py": (*ABOVE, *WEB, "mm.services"),
    "schemas": ("flask", "peewee", "mm.models", "mm.services"),
    "errors.py": ("flask", "peewee", "mm"),
    "clock.py": ("flask", "peewee", "mm"),
    "config.py": ("flask", "peewee", "mm"),
    "tasks.py": ("flask", "mm.routes", "mm.api", "mm.cli"),
    "routes": ("mm.api", "mm.providers", "requests"),
    "api": ("mm.routes", "mm.providers", "requests", "mm.htmx"),
    "cli.py": ("mm.routes", "mm.api", "mm.htmx"),
}
# folder or module of the services -> those that it stands on
STANDS_ON = {
    "sync": {"library", "validation"},
    "library": {"enrichment", "validation", "ranking_order"},
    "backup": {"portable", "jobs", "problems", "validation"},
    "portable": {"validation", "ranking_order"},
    "enrichment": {"jobs", "heartbeat"},
    "health": {"backup", "heartbeat", "problems"},
    "tidying": {"accounts", "enrichment", "problems"},
    "jobs": set(),
    "accounts": set(),
    "heartbeat": set(),
    "problems": set(),
    "ranking_order": set(),
    "validation": set(),
}


def modules_of(place):
    path = PACKAGE / place
    return sorted(path.rglob("*.py")) if path.is_dir() else [path] if path.exists() else []


def imported_by(path):
    """Every module a file imports, as dotted names, `from a import b` as both a and a.b."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


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


def test_each_area_of_the_services_stands_only_on_those_below_it():
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for area in areas()
        for path in modules_of(f"services/{area}") or modules_of(f"services/{area}.py")
        for name in imported_by(path)
        if name.startswith("mm.services.")
        if name.split(".")[2] not in {area, *STANDS_ON[area]}
    ]
    assert wrong == []


def areas():
    places = (PACKAGE / "services").iterdir()
    return sorted(place.stem for place in places if not place.name.startswith("_"))


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
    names = {*config.VARIABLES, "MM_BIND"}
    assert [name for name in sorted(names) if f"`{name}`" not in readme] == []


def test_every_setting_can_be_set_by_a_variable():
    assert set(config.VARIABLES.values()) == set(config.Config.__dataclass_fields__)


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
