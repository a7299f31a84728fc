"""The content security policy in a real browser: htmx comes from its CDN, and nothing else does."""

import pytest

from mm.services import accounts
from tests.conftest import PASSWORD
from tests.support.processes import running

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.slow]
CDN = "https://cdn.jsdelivr.net"
LOAD = """(address) => new Promise((done) => {
  const script = document.createElement("script");
  script.src = address;
  script.onload = () => done("loaded");
  script.onerror = () => done("refused");
  document.head.append(script);
})"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("policy") / "data") as server:
        accounts.create("alice@example.org", "alice", PASSWORD)
        server.start("web")
        yield server


def test_htmx_is_loaded_from_its_cdn_and_starts(server, visit):
    visitor, loaded = visit(), []
    visitor.page.on("requestfinished", lambda request: loaded.append(request.url))
    visitor.log_in(server.url, "alice", PASSWORD)
    visitor.page.wait_for_load_state("load")
    assert visitor.page.evaluate("typeof htmx") == "object"
    scripts = [url for url in loaded if "htmx" in url]
    assert scripts
    assert set(scripts) == {f"{CDN}/npm/htmx.org@4.0.1/dist/htmx.min.js"}


def test_without_the_cdn_the_copy_is_loaded_under_its_hashed_name(server, visit):
    visitor, loaded = visit(cdn=False), []
    visitor.page.on("requestfinished", lambda request: loaded.append(request.url))
    visitor.log_in(server.url, "alice", PASSWORD)
    visitor.page.wait_for_load_state("networkidle")
    assert visitor.page.evaluate("typeof htmx") == "object"
    assert any("/static/vendor/htmx.min." in url for url in loaded)


@pytest.mark.parametrize("path", ["/npm/htmx.org@4.0.1/dist/htmx.js", "/npm/x@1.0.0/x.js", "/"])
def test_another_file_of_the_same_host_is_refused(server, visit, path):
    visitor = visit()
    visitor.allowed.append("Content Security Policy")
    visitor.page.goto(f"{server.url}/login")
    assert visitor.page.evaluate(LOAD, f"{CDN}{path}") == "refused"


def test_the_fonts_that_the_style_sheet_names_are_loaded(server, visit):
    visitor = visit()
    visitor.log_in(server.url, "alice", PASSWORD)
    loaded = """document.fonts.ready.then(() => [...document.fonts].some(
        (font) => font.family === "Figtree" && font.status === "loaded"))"""
    assert visitor.page.evaluate(loaded) is True
