"""Chromium for tests: a page that fails the test on any error of the console, and answers the CDN
from our copy."""

import importlib.resources
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from mm import config

# The shell makes no windows: 0.3 seconds of the processor a visitor, and 1.6 in the whole browser.
CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CDN = "https://cdn.jsdelivr.net/**"
HTMX = config.ROOT / "static/vendor/htmx.min.js"
WIDTHS = {"phone": {"width": 390, "height": 844}, "desk": {"width": 1280, "height": 800}}
AXE = importlib.resources.files("axe_playwright_python") / "axe.min.js"
FAULTS = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations
  .filter((fault) => ["serious", "critical"].includes(fault.impact))
  .map(({ id, nodes: [first] }) => `${id}: ${first.html.slice(0, 200)} ${first.failureSummary}`)"""
WAIT_MS = 30_000

expect.set_options(timeout=WAIT_MS)


@dataclass
class Visitor:
    """`allowed`: parts of console errors that the test means to cause."""

    page: Page
    errors: list[str]
    allowed: list[str]

    def log_in(self, url: str, email: str, password: str) -> None:
        self.page.goto(f"{url}/login")
        self.page.get_by_label("Email or username").fill(email)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Log in").click()
        expect(self.page.get_by_role("heading", name="Library", exact=True)).to_be_visible()

    def let_in(self, url: str, email: str, password: str) -> None:
        """As log_in, but no page is drawn for it: where the log-in is not what is tested."""
        form = {"email": email, "password": password}
        own = {"Sec-Fetch-Site": "same-origin"}
        answer = self.page.request.post(f"{url}/login", form=form, headers=own, max_redirects=0)
        assert answer.status == 303, answer.text()

    def accessibility_faults(self) -> list[str]:
        """What axe finds serious or critical on the page as it is now."""
        # What is still fading in has no contrast yet.
        self.page.emulate_media(reduced_motion="reduce")
        # Not by a script tag: the page's policy rightly refuses one.
        self.page.evaluate(AXE.read_text())
        return self.page.evaluate(FAULTS)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One a module: while it is there, Playwright's event loop runs in this thread."""
    if not CHROMIUM and not os.environ.get("CI"):
        pytest.skip(
            "no Chromium here: to run the browser tests, install Debian's `chromium-headless-shell`"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium) -> Iterator[Callable[..., Visitor]]:
    """visit(size="phone", scheme="dark", cdn=False, javascript=False) -> Visitor; its errors fail
    the test."""
    visitors, contexts = [], []

    def open_page(size="desk", scheme="light", cdn=True, javascript=True) -> Visitor:
        context = chromium.new_context(
            viewport=WIDTHS[size], color_scheme=scheme, java_script_enabled=javascript
        )
        context.set_default_timeout(WAIT_MS)
        contexts.append(context)
        _answer_cdn(context, cdn)
        visitor = Visitor(context.new_page(), [], [] if cdn else ["net::ERR_FAILED"])
        visitor.page.on("console", lambda message: _note(visitor, message))
        visitor.page.on("pageerror", lambda error: visitor.errors.append(str(error)))
        visitors.append(visitor)
        return visitor

    yield open_page
    for context in contexts:
        context.close()
    for visitor in visitors:
        assert [e for e in visitor.errors if not any(part in e for part in visitor.allowed)] == []


def _answer_cdn(context, reachable: bool) -> None:
    headers = {"Access-Control-Allow-Origin": "*"}
    if reachable:
        context.route(
            CDN,
            lambda route: route.fulfill(path=HTMX, content_type="text/javascript", headers=headers),
        )
    else:
        context.route(CDN, lambda route: route.abort())


def _note(visitor: Visitor, message: ConsoleMessage) -> None:
    if message.type == "error":
        visitor.errors.append(message.text)
