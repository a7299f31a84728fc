"""Portable collections: people, lists, views and settings as small files."""

from typing import get_args

from flask import Blueprint, Response

from mm import auth, tasks
from mm.api.openapi import amend, answers, api, one_of
from mm.errors import InvalidError
from mm.schemas import (
    Collection,
    CollectionExport,
    CollectionImport,
    CollectionKind,
    CollectionPreview,
    CollectionResult,
)
from mm.services.collections import envelope, exporting, importing, plans

bp = Blueprint("collections", __name__, url_prefix="/v1")
KIND = f"<any({', '.join(get_args(CollectionKind))}):kind>"
PRIVATE = "private, no-store"
NO_FILE = "Send the file as `export`, or the file alone as the body."


@bp.post(f"/export/{KIND}")
@auth.account_required
@api.validate(resp=answers(401, 403, 404, 413, 415, 503, HTTP_200=Collection), tags=["Collections"])
def export(kind: CollectionKind, json: CollectionExport):
    """Some of your people, lists, views or settings, or all of them, as a file that another account
    can import. The quick recommenders are never in it."""
    made = exporting.export(auth.account().id, kind, json.ids, json.export_all)
    response = Response(made.data, mimetype="application/json")
    response.headers.set("Content-Disposition", "attachment", filename=made.filename)
    response.headers["Cache-Control"] = PRIVATE
    return response


@bp.post(f"/import/{KIND}/preview")
@auth.account_required
@api.validate(
    resp=answers(401, 403, 404, 413, 415, 503, HTTP_200=CollectionPreview), tags=["Collections"]
)
def preview(kind: CollectionKind, json: CollectionImport):
    """What an import of the same body would do with each item. Nothing is written.

    Names are the same whatever their case. A file that cannot be used at all is a 422 with one
    sentence.
    """
    received = envelope.opened(kind, _file(json))
    plan = importing.plan(auth.account().id, received, json.resolutions, json.bulk_resolution)
    return plans.preview(plan)


@bp.post(f"/import/{KIND}")
@auth.account_required
@api.validate(
    resp=answers(401, 403, 404, 409, 413, 415, 503, 507, HTTP_200=CollectionResult),
    tags=["Collections"],
)
def import_items(kind: CollectionKind, json: CollectionImport):
    """Import the items of a file, in one transaction. An item whose name you have already is
    skipped unless you choose otherwise; an overwrite keeps the id.

    Items that cannot be used are left out, and `error_details` names each. A safety backup of the
    library is made first, and `POST /backup/undo` goes back to it; settings have none.
    """
    received = envelope.opened(kind, _file(json))
    result = importing.at_once(auth.account(), received, json.resolutions, json.bulk_resolution)
    tasks.start_enrichment()
    return result


def _file(sent: CollectionImport) -> dict:
    if sent.export is not None:
        return sent.export
    if sent.metadata is None and sent.items is None:
        raise InvalidError(NO_FILE)
    return {"metadata": sent.metadata, "items": sent.items}


def _refusal(sentence: str) -> dict:
    return {
        "422": one_of(
            f"One sentence where {sentence}, a list for a body of another shape",
            "ErrorDetail",
            "ValidationDetail",
        )
    }


amend("/api/v1/export/{kind}", "post", responses=_refusal("nothing was chosen"))
for _path in ("/api/v1/import/{kind}", "/api/v1/import/{kind}/preview"):
    amend(_path, "post", responses=_refusal("the file cannot be used"))
