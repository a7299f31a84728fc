"""Answers to htmx: a fragment or the whole page, toasts, redirects, and events for other fragments.

A route does the same work for htmx and for a plain form; only its last line, a call of this module,
makes the difference.
"""

import json

from flask import Response, flash, g, make_response, redirect, render_template, request, url_for

# Proxies refuse an answer with more than 4 KB of headers, and a toast travels in a header: so many
# characters of a name, and so many bytes of a message as JSON, in which an emoji takes 12.
NAME_MAX = 80
MESSAGE_BYTES = 2000
# The copy in static/vendor is the same file.
CDN_URL = "https://cdn.jsdelivr.net/npm/htmx.org@4.0.1/dist/htmx.min.js"


def wants_partial() -> bool:
    """Whether htmx asked for a fragment. Boosted links and history restores need the whole page;
    they send "full" and nothing."""
    return request.headers.get("HX-Request-Type") == "partial"


def render(page: str, partial: str | None = None, status: int = 200, **context) -> Response:
    """The template `partial` for a request of a fragment, else `page`."""
    template = partial if partial and wants_partial() else page
    response = make_response(render_template(template, **context), status)
    response.vary.add("HX-Request-Type")
    response.headers["Cache-Control"] = "no-store"
    return _with_events(response)


def fragment(partial: str, home: str, **context) -> Response:
    """A template that is only ever a part of the page at `home`: without htmx, a redirect there.
    After a POST the address becomes `home` too, so that a reload shows the same."""
    if not wants_partial():
        return make_response(redirect(home, 303))
    response = render(partial, **context)
    if request.method == "POST":
        response.headers["HX-Replace-Url"] = home
    return response


def nothing(home: str) -> Response:
    """The answer to a POST from the page at `home` that changes nothing on it."""
    return Response(status=204) if wants_partial() else make_response(redirect(home, 303))


def private(response: Response) -> Response:
    """Forbid caches to keep `response`, a file that belongs to one user."""
    response.headers["Cache-Control"] = "private, no-store"
    return response


def toast(
    message: str,
    kind: str = "good",
    undo: str | None = None,
    link: str | None = None,
    **names: str,
) -> None:
    """Tell the user what happened, with this answer or on the page that a redirect leads to.

    `names` replace the {placeholders} of the message, shortened where they are long. `kind`: good
    or bad. `undo`: the token of the step that its Undo button takes back. `link`: the URL of what
    it is about.
    """
    if names:
        message = message.format(**{key: _shorten(name, NAME_MAX) for key, name in names.items()})
    while len(json.dumps(message)) > MESSAGE_BYTES:
        message = _shorten(message, len(message) * 3 // 4)
    content = {
        "message": message,
        "kind": kind,
        "undo": undo and url_for("undo.back", token=undo),
        "link": link,
    }
    if wants_partial():
        _events()["toast"] = content
    else:
        flash(content, kind)  # type: ignore[arg-type]


def go(url: str) -> Response:
    """Go to another page after a POST. To htmx by a header, because it would follow a 303 and put
    that page inside this one."""
    if not wants_partial():
        return make_response(redirect(url, 303))
    if content := _events().pop("toast", None):
        flash(content, content["kind"])
    return Response(status=204, headers={"HX-Redirect": url})


def changed(*events: str) -> None:
    """Reload the fragments with `hx-trigger="EVENT from:document"`. Call before the answer is
    made."""
    if wants_partial():
        _events().update(dict.fromkeys(events, ""))


def refuse(message: str, status: int) -> Response:
    """The answer to a fragment's request that failed: the page stays, and a toast says why."""
    toast(message, "bad")
    return _with_events(Response(status=status, headers={"HX-Reswap": "none"}))


def _shorten(text: str, length: int) -> str:
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
