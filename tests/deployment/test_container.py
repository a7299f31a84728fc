"""The README's container file and compose file: they hold what the server needs, and start it as
the Procfile does."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mm import config

README = (config.ROOT / "README.md").read_text()


def block(language):
    return re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)[1]


def services():
    return yaml.safe_load(block("yaml"))["services"]


def copied():
    """The names that the image takes from the folder of the code."""
    lines = re.findall(r"^COPY (.+)$", block("dockerfile"), re.MULTILINE)
    return [name for line in lines for name in line.split()[:-1]]


def test_the_services_run_the_lines_of_the_procfile_after_the_upgrade():
    lines = [line.split(": ", 1) for line in (config.ROOT / "Procfile").read_text().splitlines()]
    assert {name for name, _ in lines} == set(services())
    for name, command in lines:
        expected = f'sh -c "flask --app mm upgrade && exec {command}"'
        assert services()[name]["command"] == expected


def test_both_services_share_one_volume_and_only_the_web_is_reached_through_this_machine():
    assert [row["volumes"] for row in services().values()] == [["movies:/data"]] * 2
    assert {row["environment"]["MM_DATA_DIR"] for row in services().values()} == {"/data"}
    assert services()["web"]["ports"] == ["127.0.0.1:8000:8000"]
    assert "ports" not in services()["worker"]


def test_the_image_takes_neither_data_nor_settings_of_the_machine_that_builds_it():
    assert not {".", "data", ".env"} & set(copied())


@pytest.mark.slow
def test_the_image_has_every_file_that_the_server_reads(tmp_path):
    for name in copied():
        source = config.ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tmp_path / name)
    environment = {"PATH": "/usr/bin:/bin", "MM_DATA_DIR": str(tmp_path / "volume")}
    for command in (
        ("flask", "--app", "mm", "upgrade"),
        ("gunicorn", "--check-config", "wsgi:app"),
    ):
        done = subprocess.run(
            [Path(sys.executable).parent / command[0], *command[1:]],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
