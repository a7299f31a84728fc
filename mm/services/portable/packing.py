"""A plan as bytes, and exactly that plan back: from the moment it is shown to the moment it is
applied it lies in a file."""

from collections.abc import Sequence
from typing import Any

import msgspec

from mm.services.portable.plans import (
    FilmStep,
    ListStep,
    PersonStep,
    Plan,
    ViewStep,
    VoteStep,
    WatchStep,
    Warnings,
)
from mm.services.portable.values import (
    ListValues,
    MovieValues,
    PersonValues,
    ViewValues,
    VoteValues,
    WatchValues,
)


def _with_types(kind: type, **types: Any) -> Any:
    """`kind` with the types of these fields: where steps are used, their values are `Any`, and
    would come back as dicts."""
    fields = list(types.items())
    return msgspec.defstruct(kind.__name__, fields, bases=(kind,), kw_only=True, gc=False)


_Vote = _with_types(VoteStep, values=VoteValues)
_Watch = _with_types(WatchStep, values=WatchValues)
_Film = _with_types(
    FilmStep, values=MovieValues, votes=Sequence[_Vote], watches=Sequence[_Watch]
)
_Plan = _with_types(
    Plan,
    people=list[_with_types(PersonStep, values=PersonValues)],  # type: ignore[misc]
    lists=list[_with_types(ListStep, values=ListValues)],  # type: ignore[misc]
    views=list[_with_types(ViewStep, values=ViewValues)],  # type: ignore[misc]
    films=list[_Film],
    noticed=None,
)
_DECODER: msgspec.msgpack.Decoder = msgspec.msgpack.Decoder(_Plan)


def pack(plan: Plan) -> bytes:
    return msgspec.msgpack.encode(plan, enc_hook=_left_behind)


def unpack(data: bytes) -> Plan:
    """Raises ValueError for what `pack` of this version did not write."""
    return _DECODER.decode(data)


def _left_behind(gathered: Any) -> None:
    """What was noticed while planning is among the plan's warnings by now."""
    if not isinstance(gathered, Warnings):
        raise NotImplementedError(type(gathered).__name__)
