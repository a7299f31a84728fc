"""The one place that reads request bodies and queries, and makes the OpenAPI document of them."""

import functools
import re
from typing import Annotated, Any, get_args, get_origin

import msgspec
from flask import Response as FlaskResponse
from flask import request
from spectree import Response, SecurityScheme, SecuritySchemeData, SpecTree
from spectree.model_adapter.msgspec_adapter import MsgspecModelAdapter
from spectree.models import SecureType
from spectree.plugins.base import Context
from spectree.plugins.flask_plugin import FlaskPlugin
from spectree.utils import get_multidict_items
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import UnsupportedMediaType

from mm import __version__
from mm.api import examples
from mm.api.errors import problems
from mm.errors import TooLargeError
from mm.schemas import (
    ArchiveRequest,
    CollectionImport,
    ErrorDetail,
    FilmOrder,
    ListedFilmChange,
    PlanView,
    ServerRestore,
    SyncAction,
    SyncBatch,
    UndoRequest,
    ValidationDetail,
    WatchChange,
)
from mm.services import portable

BODY_MAX = 2**20
# A phone may have been offline for weeks, and older ones send all their data on each film along.
QUEUE_MAX = 16 * 2**20
# And a list may hold 200,000 films, and a collection lists of as many.
LONG = (SyncAction, SyncBatch, FilmOrder, CollectionImport)
# Half as many again as in a queue of 16 MiB that has all of a phone's data on each film.
BRACKETS_MAX = 500_000
COMMAS_MAX = 2_000_000
# Bodies that may be left out.
OPTIONAL = (WatchChange, ListedFilmChange, UndoRequest, ArchiveRequest)
ERROR_PATH = re.compile(r" - at `\$\.?(?P<path>.*)`$")
_amendments: dict[tuple[str, str], dict[str, dict]] = {}


class _Adapter(MsgspecModelAdapter):
    def validation_errors(self, err: Exception) -> dict:
        message = str(err)
        match = ERROR_PATH.search(message)
        path = match["path"] if match else ""
        return {"detail": problems([(path, ERROR_PATH.sub("", message))])}


class _Plugin(FlaskPlugin):
    def request_validation(self, request, query, json, form, headers, cookies) -> None:
        """Replaces spectree's own, which takes "7.5" for a number, and a body that is not JSON for
        an empty one."""
        request.context = Context(
            self.model_adapter.validate_obj(query, _query(query, request.args)) if query else None,
            read_json(json) if json else None,
            None,
            None,
            None,
        )

    def validate_response(self, resp, *args, **kwargs):
        """Leaves finished responses alone: their body may be a file that is yet to be streamed."""
        if isinstance(resp, FlaskResponse):
            return resp, None
        return super().validate_response(resp, *args, **kwargs)


def read_json(model: Any) -> Any:
    """The request's body as `model`. Raises msgspec.ValidationError, and 413 or 415."""
    request.max_content_length = QUEUE_MAX if model in LONG else BODY_MAX
    if model in OPTIONAL and not request.get_data():
        return model()
    if request.mimetype and not request.is_json:
        raise UnsupportedMediaType("Send JSON, with Content-Type: application/json")
    if portable.has_too_many_parts(request.get_data(), BRACKETS_MAX, COMMAS_MAX):
        raise TooLargeError("The body holds more brackets or commas than any request needs.")
    try:
        return msgspec.json.decode(request.get_data(), type=model)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise msgspec.ValidationError(str(error)) from error
    except RecursionError as error:
        raise msgspec.ValidationError("JSON is nested too deeply") from error


def _query(model: Any, args: MultiDict) -> dict:
    """The query without optional parameters that are empty, as forms and generated clients send
    them; in requests that write, an empty parameter is an error."""
    items = get_multidict_items(args, model)
    if request.method not in ("GET", "HEAD"):
        return items
    optional = {field.encode_name for field in msgspec.structs.fields(model) if not field.required}
    return {name: value for name, value in items.items() if value != "" or name not in optional}


def answers(*errors: int, **models: Any) -> Response:
    """What a route can answer, for the document: `HTTP_200=Model`, and the statuses of errors."""
    empty = [name for name, model in models.items() if model is None]
    filled = {name: model for name, model in models.items() if model is not None}
    return Response(*empty, **filled, **{f"HTTP_{status}": ErrorDetail for status in errors})


def amend(path: str, method: str, **parts: dict) -> None:
    """Add to an operation of the document what spectree cannot express."""
    _amendments[path, method] = parts


def one_of(description: str, *names: str) -> dict:
    """For `amend`: an answer with one of these schemas."""
    schema = {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in names]}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


@functools.cache
def document() -> dict:
    """OpenAPI 3.1 of every route of the API. Needs an app context."""
    spec = api.spec
    _, schemas = msgspec.json.schema_components(
        (PlanView, ServerRestore), ref_template="#/components/schemas/{name}"
    )
    spec["components"]["schemas"] |= schemas
    examples.add_to(spec["components"]["schemas"])
    optional = {f"#/components/schemas/{model.__name__}" for model in OPTIONAL}
    for operation in (item for methods in spec["paths"].values() for item in methods.values()):
        body = operation.get("requestBody")
        # spectree promises a 422 for every route, even those without any input.
        if body is None and not any(item["in"] == "query" for item in operation["parameters"]):
            operation["responses"].pop("422", None)
        # spectree knows only Werkzeug's own converters.
        for parameter in operation["parameters"]:
            parameter["schema"] = parameter["schema"] or {"type": "string", "minLength": 1}
        # spectree takes every body for required.
        content = body["content"].values() if body else ()
        if optional & {media["schema"].get("$ref") for media in content}:
            body["required"] = False
    for (path, method), parts in _amendments.items():
        operation = spec["paths"][path][method]
        for name, value in parts.items():
            operation[name] = operation.get(name, {}) | value
    return spec


def _schema_name(model: Any) -> str:
    if get_origin(model) is Annotated:
        titles = [title for item in get_args(model)[1:] if (title := getattr(item, "title", None))]
        return titles[-1] if titles else _schema_name(get_args(model)[0])
    return model.__name__


def _ignore(*_) -> None:
    """Instead of spectree's hooks, which log each request that it refuses as an error of ours."""


_BEARER = SecuritySchemeData(type=SecureType.HTTP, scheme="bearer", bearer_format="JWT")
api = SpecTree(
    backend=_Plugin,
    # spectree's own adapter does not fit its protocol either.
    model_adapter=_Adapter(),  # type: ignore[arg-type]
    validation_error_model=ValidationDetail,
    naming_strategy=_schema_name,
    nested_naming_strategy=lambda _parent, child: child,
    before=_ignore,
    after=_ignore,
    path="docs",
    mode="strict",
    title="Movie Manager",
    version=__version__,
    page_templates={},
    security_schemes=[SecurityScheme(name="bearer", data=_BEARER)],
    security={"bearer": []},
)
