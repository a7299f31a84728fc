"""A page's HTML as tests read it: without the line breaks and indentation of its template."""

import re

from flask import Response
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

# Where a browser shows no space: around the attributes of a tag, and at the edges of an element.
AROUND_ATTRIBUTES = re.compile(r"(?<=<)\s+|\s+(?=>)")
EDGES = re.compile(r"(<[a-z][^<>]*>)\s+|\s+(?=</)")


def squeezed(html):
    html = AROUND_ATTRIBUTES.sub("", re.sub(r"\s+", " ", html))
    return EDGES.sub(r"\1", html).strip()


class Page(TestResponse, Response):
    @property
    def text(self):
        return squeezed(super().text) if self.mimetype == "text/html" else super().text


class Client(FlaskClient):
    """A test client whose answers' `text` is squeezed; `data` is what was sent."""

    def __init__(self, app, _wrapper=None, **options):
        super().__init__(app, Page, **options)
