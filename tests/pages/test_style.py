"""The page of all components: for who works on them, and for nobody else."""

import re

import pytest

from mm import config
from tests.conftest import app_of_defaults


@pytest.fixture
def debugging(app, monkeypatch):
    monkeypatch.setattr(app, "debug", True)
    return app


def test_it_is_not_found_on_a_server_that_people_use(client):
    assert client.get("/style").status_code == 404


def test_it_shows_each_component_in_light_and_in_dark(debugging, client):
    answer = client.get("/style")
    assert answer.status_code == 200
    for scheme in ("light", "dark"):
        assert f'data-scheme="{scheme}"' in answer.text
    for path in (config.ROOT / "templates/components").glob("*.html"):
        name = path.stem.replace("_", "-")
        assert f'data-component="{name}"' in answer.text, name


def test_no_page_has_a_style_or_a_script_of_its_own(debugging, client):
    text = client.get("/style").text
    assert "<style" not in text
    assert " style=" not in text
    assert not re.search(r"<script(?![^>]* src=)", text)


def test_an_icon_that_a_page_shows_is_in_the_file_of_icons():
    icons = set(
        re.findall(r'<symbol id="i-([^"]+)"', (config.ROOT / "static/icons.svg").read_text())
    )
    named = set()
    for path in (config.ROOT / "templates").rglob("*.html"):
        named |= set(re.findall(r'\bicon\("([\w-]+)"', path.read_text()))
    assert named <= icons
    assert set(app_of_defaults().jinja_env.globals["list_icons"]) <= icons
