"""For clients that keep a copy of the library: the change feed, and their queued actions."""

from flask import Blueprint, Response

from mm import auth, tasks
from mm.api import compat, transfer
from mm.api.openapi import answers, api
from mm.schemas import (
    ChangesQuery,
    Feed,
    SinceQuery,
    SyncAction,
    SyncAnswer,
    SyncAnswers,
    SyncBatch,
)
from mm.services.library import serializers
from mm.services.sync import feed
from mm.services.sync import queue as sync_queue

bp = Blueprint("sync", __name__, url_prefix="/sync")


@bp.get("")
@auth.account_required
@api.validate(resp=answers(401, 403, 503, HTTP_200=Feed), tags=["Sync"])
def everything_since(query: SinceQuery):
    """All that changed since a moment, in one answer."""
    return _feed(feed.everything_since(auth.account().id, query.since))


@bp.get("/changes")
@auth.account_required
@api.validate(resp=answers(401, 403, 503, HTTP_200=Feed), tags=["Sync"])
def changes(query: ChangesQuery):
    """What changed since a moment, in pages that stay whole while rows change."""
    return _feed(feed.page(auth.account().id, query.since, query.limit, query.offset))


@bp.post("")
@auth.account_required
@api.validate(resp=answers(401, 403, 413, 415, 503, HTTP_200=SyncAnswer), tags=["Sync"])
def perform(json: SyncAction):
    """Do one action of a queue. Sent again, it is answered as before and changes nothing."""
    answer = sync_queue.perform(auth.account().id, json)
    tasks.start_enrichment()
    return compat.answer(answer)


@bp.post("/batch")
@auth.account_required
@api.validate(resp=answers(401, 403, 413, 415, 503, HTTP_200=SyncAnswers), tags=["Sync"])
def perform_all(json: SyncBatch):
    """Do the actions of a queue in order, each by itself: one that fails or is malformed stops no
    other."""
    user_id = auth.account().id
    results = sync_queue.perform_all(user_id, json.actions)
    tasks.start_enrichment()
    return SyncAnswers([compat.answer(result) for result in results], feed.newest(user_id))


def _feed(changes: feed.Changes) -> Response:
    shown = serializers.in_batches(auth.account().id, changes.film_ids)
    return transfer.in_pieces(transfer.filled(changes.feed, "movies", compat.for_phones(shown)))
