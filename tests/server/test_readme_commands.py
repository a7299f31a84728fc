"""The README's commands for accounts, and for coming from the original, are run as they stand."""

import re

import pytest

from mm import config
from tests.server.test_when_something_broke import House, settle
from tests.support.original import make_original

pytestmark = [pytest.mark.slow, pytest.mark.processes]
README = (config.ROOT / "README.md").read_text()


def section(title):
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def blocks(title):
    """Lists of lines."""
    found = re.findall(r"(?:^    .+\n)+", section(title), re.MULTILINE)
    return [[line.strip() for line in block.splitlines()] for block in found]


@pytest.fixture
def house(tmp_path) -> House:
    """An empty server."""
    house = settle(tmp_path)
    house.flask("upgrade")
    return house


def test_the_commands_of_the_table_of_accounts(house):
    house.flask("user create ann@example.org ann --admin")
    cells = [line.split(" | ")[-1] for line in re.findall(r"^\| .+ \|$", section("Accounts"), re.M)]
    commands = [part for cell in cells for part in re.findall(r"`(user [^`]+)`", cell)]
    # The account first, and its end last.
    commands.sort(key=lambda line: ("create" not in line, "delete" in line))
    assert len(commands) == 10
    links, invite_id = [], "none"
    for command in commands:
        said = house.flask(command, ID=invite_id, answer="y\n")
        links += re.findall(r"http://127\.0\.0\.1:8000/(?:invite|reset)/\S+", said)
        if command == "user invites":
            invite_id = said.split()[0]
    assert len(links) == 2
    assert house.flask("user invites") == ""
    assert "sam" not in house.flask("user list")


def test_the_library_of_an_account_that_was_removed_comes_back(house):
    house.flask("user create ann@example.org ann --admin")
    house.flask("user create sam@example.org sam")
    house.flask("backup create --user sam")
    [backup] = (house.data / "backups").glob("*/*-manual.json")
    house.flask("user delete --yes sam")
    [(create, bring)] = blocks("Accounts")
    house.run([create])
    house.run([bring.replace("2026-03-02.json", backup.name)], ID=backup.parent.name, answer="y\n")


def test_a_household_of_the_original_comes_over(house, tmp_path):
    original = tmp_path / "elsewhere" / "app.db"
    original.parent.mkdir()
    make_original(original, films=5)
    [(rehearsal, adopt)] = blocks("Coming from the original")
    rehearsal, adopt = (
        line.replace("/path/to/app.db", str(original)) for line in (rehearsal, adopt)
    )
    assert "nothing was changed" in house.run([rehearsal])
    assert house.flask("user list") == ""
    house.run([adopt], NAME="user1", answer="y\n")
    listed = house.flask("user list")
    assert "user1 <user1@example.org> admin" in listed
    assert listed.count("\n") == 3
