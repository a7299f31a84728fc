"""How long backups are kept: the form, what another policy would delete, and saving it."""

from collections.abc import Mapping

from flask import Blueprint, Response, request, url_for
from flask_login import login_required

from mm import auth, htmx
from mm.errors import InvalidError
from mm.routes.contexts import retention_context
from mm.routes.forms import problems_of
from mm.services.backup import backups, policies
from mm.services.backup.retention import Policy

bp = Blueprint("retention", __name__, url_prefix="/backup/retention")


@bp.get("")
@login_required
def show() -> Response:
    """With the fields of the form: what would be deleted if that were saved."""
    user, typed = auth.account(), _typed(request.args)
    policy, problems = _parse(policies.of(user), typed)
    if problems:
        return _page(**retention_context(typed, problems))
    if not typed:
        return _page(**retention_context())
    no_longer = backups.no_longer_kept(user, policy)
    return _page(**retention_context(policies.texts(policy), no_longer=no_longer))


@bp.post("")
@login_required
def save() -> Response:
    """With `now`, also delete the files that the preview named, however many."""
    user, typed = auth.account(), _typed(request.form)
    policy, problems = _parse(policies.of(user), typed)
    if problems:
        return _page(**retention_context(typed, problems))
    deleted = 0
    if "now" in request.form:
        deleted = backups.prune_confirmed(user, policy, request.form.getlist("filename"))
    policies.save(user, policy)
    gone = f" {deleted:,} backup{'s' * (deleted != 1)} deleted." if deleted else ""
    htmx.toast(f"Saved: {policies.words(policy)} kept.{gone}")
    htmx.changed("backups")
    context = retention_context(policies.texts(policy))
    return htmx.fragment("backups/_retention.html", url_for("backups.index"), **context)


def _page(**context) -> Response:
    status = 422 if context["problems"] else 200
    return htmx.render(
        "backups/retention.html", "backups/_retention.html", status=status, **context
    )


def _typed(fields: Mapping[str, str]) -> dict[str, str]:
    return {kind: fields[f"keep_{kind}"] for kind in policies.UNITS if f"keep_{kind}" in fields}


def _parse(policy: Policy, typed: dict[str, str]) -> tuple[Policy, dict[str, str]]:
    """What was typed in place of what is kept now, and what is wrong with each field."""
    counts: dict[str, int] = {}
    problems: dict[str, str] = {}
    for kind, text in typed.items():
        try:
            counts[kind] = policies.parse(kind, text)
        except InvalidError as error:
            problems |= problems_of(error)
    return policies.changed(policy, **counts), problems
