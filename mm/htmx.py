"""The whole protocol between a page and htmx: a fragment or the page, toasts, redirects, and events
that wake others.

A handler does the same work either way; only the last line of a route knows that htmx may be
asking.
"""

import json

from flask import Response, flash, g, make_response, redirect, render_template, request, url_for

# In characters. A proxy refuses an answer whose headers are over 4 KB, and a toast is in a header.
NAME_MAX = 80
# As JSON, in which an emoji is 12 bytes.
MESSAGE_BYTES = 2000
# The copy in static/vendor is the same file.
CDN_URL = "https://cdn.jsdelivr.net/npm/htmx.org@4.0.1/dist/htmx.min.js"


def wants_partial() -> bool:
    """Boosted links ask for "full", and a history restore sends no HX-Request-Type: both need the
    page."""
    return request.headers.get("HX-Request-Type") == "partial"


def render(page: str, partial: str | None = None, status: int = 200, **context) -> Response:
    """The template `partial` where htmx swaps a fragment, else `page`. One address gives both,
    hence the Vary."""
    template = partial if partial and wants_partial() else page
    response = make_response(render_template(template, **context), status)
    response.vary.add("HX-Request-Type")
    response.headers["Cache-Control"] = "no-store"
    return _with_events(response)


def fragment(partial: str, home: str, **context) -> Response:
    """A template that is only ever a part of the page at `home`: whoever asks without htmx is led
    there. After a POST the address becomes `home` as well, so that a reload shows the same."""
    if not wants_partial():
        return make_response(redirect(home, 303))
    response = render(partial, **context)
    if request.method == "POST":
        response.headers["HX-Replace-Url"] = home
    return response


def nothing(home: str) -> Response:
    """After a POST of the page's own that changes nothing on it."""
    return Response(status=204) if wants_partial() else make_response(redirect(home, 303))


def private(response: Response) -> Response:
    """A file of one user's: nobody on the way may keep it."""
    response.headers["Cache-Control"] = "private, no-store"
    return response


def toast(
    message: str,
    kind: str = "good",
    undo: str | None = None,
    link: str | None = None,
    **names: str,
) -> None:
    """Say what happened: with this answer, or on the page that a redirect leads to.

    `names` stand in for the {placeholders} of the message, cut where they are long. `kind`: good,
    bad. `undo`: the token of the step that its button takes back. `link`: where the thing is that
    it speaks of.
    """
    if names:
        message = message.format(**{key: _cut(name, NAME_MAX) for key, name in names.items()})
    while len(json.dumps(message)) > MESSAGE_BYTES:
        message = _cut(message, len(message) * 3 // 4)
    said = {
        "message": message,
        "kind": kind,
        "undo": undo and url_for("undo.back", token=undo),
        "link": link,
    }
    if wants_partial():
        _events()["toast"] = said
    else:
        flash(said, kind)  # type: ignore[arg-type]


def go(url: str) -> Response:
    """Lead on to another page after a POST. A 303 would put that page inside this one, so htmx gets
    a header."""
    if not wants_partial():
        return make_response(redirect(url, 303))
    if message := _events().pop("toast", None):
        flash(message, message["kind"])
    return Response(status=204, headers={"HX-Redirect": url})


def changed(*events: str) -> None:
    """Wake the fragments that listen: `hx-trigger="NAME from:document"`. Call before the answer is
    made."""
    if wants_partial():
        _events().update(dict.fromkeys(events, ""))


def refuse(message: str, status: int) -> Response:
    """A failure met by a fragment: what is on the page stays, and a toast says why."""
    toast(message, "bad")
    return _with_events(Response(status=status, headers={"HX-Reswap": "none"}))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"


def _events() -> dict:
    if "htmx_events" not in g:
        g.htmx_events = {}
    return g.htmx_events


def _with_events(response: Response) -> Response:
    """A header takes ASCII only; JSON escapes the rest."""
    if _events():
        response.headers["HX-Trigger"] = json.dumps(_events())
    return response
