"""The documents name what exists: files, functions, commands, links, and who imports whom."""

import ast
import re

import pytest

from mm import config
from mm.services.sync import actions

GUIDES = sorted(path.name for path in (config.ROOT / "docs").glob("*.md"))
DOCUMENTS = ["README.md", "CONTRIBUTING.md", *(f"docs/{name}" for name in GUIDES)]
# Where dotted names are names of the code; the README's are events of the log.
OF_THE_CODE = [name for name in DOCUMENTS if name != "README.md"]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"(?:mm|tests|migrations|templates|static|docs)/[\w./-]*\w/?")
DOTTED = re.compile(r"(?<![@\w./-])[a-z_]+(?:\.[A-Za-z_]+)+")
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMAND = re.compile(r"flask --app mm ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?")
MM = config.ROOT / "mm"
SERVICES = MM / "services"
FILES = (".py", ".html", ".md", ".db", ".json")


def text_of(document):
    return (config.ROOT / document).read_text()


def inline_code_of(document):
    return INLINE.findall(FENCE.sub("", text_of(document)))


def drawings_of(document):
    return [body for language, body in FENCE.findall(text_of(document)) if language == "mermaid"]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_a_document_names_exists(document):
    named = [code for code in inline_code_of(document) if PATH.fullmatch(code)]
    named += [path for drawing in drawings_of(document) for path in PATH.findall(drawing)]
    assert [path for path in named if not (config.ROOT / path).exists()] == []


@pytest.mark.parametrize("document", OF_THE_CODE)
def test_every_module_and_function_that_a_document_names_exists(document):
    code = [*inline_code_of(document), *drawings_of(document)]
    names = {name for part in code for name in DOTTED.findall(part) if has_a_home(name)}
    assert sorted(name for name in names if not exists(name)) == []


def test_the_architecture_names_enough_to_be_held_to_it():
    names = {name for part in drawings_of("docs/architecture.md") for name in DOTTED.findall(part)}
    assert len({name for name in names if has_a_home(name)}) > 40


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_to_a_file_or_a_heading_leads_somewhere(document):
    folder = (config.ROOT / document).parent
    for link in LINK.findall(text_of(document)):
        target, _, heading = link.partition("#")
        if "://" in target:
            continue
        path = folder / target if target else config.ROOT / document
        assert path.exists(), link
        assert not heading or heading in headings_of(path.read_text()), link


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_that_a_document_gives_exists(app, document):
    for name, sub_name in COMMAND.findall(text_of(document)):
        command = app.cli.commands.get(name)
        assert command, name
        if hasattr(command, "commands"):
            assert sub_name in command.commands, f"{name} {sub_name}"


def test_the_drawing_of_the_services_has_the_arrows_of_the_imports():
    [drawing] = [body for body in drawings_of("docs/architecture.md") if "sync --> library" in body]
    drawn = set(re.findall(r"(\w+) --> (\w+)", drawing))
    assert drawn == {(room, other) for room in rooms() for other in imported_by(room)}


def test_the_readme_quotes_messages_as_they_are():
    source = "".join(path.read_text() for path in sorted(MM.rglob("*.py")))
    source = re.sub(r'"\s*f?"', "", source)
    quoted = re.findall(r"“([^”]+?)[ …]*”", text_of("README.md"))
    messages = [" ".join(words.split()) for words in quoted]
    assert len(messages) > 4
    assert [words for words in messages if words not in source] == []


def test_the_guide_to_sync_has_every_action():
    guide = text_of("docs/sync.md")
    assert [name for name in actions.ACTIONS if f"`{name}`" not in guide] == []
    table = guide.partition("| action | data |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) <= set(actions.ACTIONS)


def test_the_guide_to_sync_quotes_the_errors_as_they_are(client, as_user, alice):
    guide, phone = text_of("docs/sync.md"), as_user(alice)
    film = {"imdb_id": "tt9000005"}
    answers = [
        client.post("/api/auth/login", json={"email": "alice@example.org", "password": "wrong"}),
        client.get("/api/sync/changes"),
        phone.get("/api/sync/changes?offset=here"),
        phone.get("/api/sync/changes?limit=1000"),
        phone.post("/api/sync", json=action("markWatched", {"imdb_id": "x"})),
        phone.post("/api/sync", json=action("updateRating", {**film, "my_rating": 4})),
        phone.post("/api/sync/batch", json={"actions": [action("fly", {})] * 1001}),
        phone.post("/api/sync/batch", json={"actions": [action("fly", {})]}),
        phone.post(
            "/api/sync/batch", json={"actions": [action("markWatched", film | {"rating": 11})]}
        ),
    ]
    quoted = [words for answer in answers for words in errors_in(answer.json)]
    assert len(quoted) == len(answers)
    assert [words for words in quoted if words not in guide] == []


def action(name, data):
    return {"action": name, "data": data, "timestamp": 1795271100}


def errors_in(answer):
    """The sentences of an error, of an answer to an action, or of those to a batch."""
    for result in answer.get("results", [answer]):
        detail = result.get("detail") or result["error"]
        yield from [detail] if isinstance(detail, str) else [problem["msg"] for problem in detail]


def roots_of(name):
    """Where a dotted name may begin: in mm, or in the services."""
    first = name.split(".")[0]
    return [folder for folder in (MM, SERVICES) if first in modules_in(folder)]


def modules_in(folder):
    return {path.stem for path in folder.iterdir() if not path.name.startswith("__")}


def has_a_home(name):
    """`mm.tasks.huey` and `user.library_version` are no names of this kind, and files are looked
    for by their paths."""
    return bool(roots_of(name)) and not name.endswith(FILES)


def exists(name):
    return any(is_in(folder, name.split(".")) for folder in roots_of(name))


def is_in(folder, parts):
    first, *rest = parts
    if (module := folder / f"{first}.py").exists():
        return not rest or rest[0] in defined_in(module)
    if (package := folder / first).is_dir():
        return not rest or is_in(package, rest) or rest[0] in defined_in(package / "__init__.py")
    return False


def defined_in(module):
    """The names that a module has at its top, those that it imports from its package included."""
    names = set()
    for node in ast.parse(module.read_text()).body if module.exists() else ():
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom) and module.name == "__init__.py":
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


def rooms():
    """The folders and modules right below the services."""
    return modules_in(SERVICES)


def imported_by(room):
    """The other rooms whose modules this one imports."""
    found = set()
    folder = SERVICES / room
    for path in folder.rglob("*.py") if folder.is_dir() else [SERVICES / f"{room}.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mm.services"):
                below = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
                found |= {name.split(".")[2] for name in below if name.count(".") >= 2}
    return found & rooms() - {room}


def headings_of(text):
    """As the addresses that a forge gives them."""
    lines = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-") for line in lines}
