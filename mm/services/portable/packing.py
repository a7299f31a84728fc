"""A plan as bytes, and exactly that plan back: from the moment it is shown to the moment it is
applied it lies in a file."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from mm.services.portable.plans import (
    FilmStep,
    ListStep,
    PersonStep,
    Plan,
    ViewStep,
    VoteStep,
    Warnings,
    WatchStep,
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


_Person = _with_types(PersonStep, values=PersonValues)
_List = _with_types(ListStep, values=ListValues)
_View = _with_types(ViewStep, values=ViewValues)
_Vote = _with_types(VoteStep, values=VoteValues)
_Watch = _with_types(WatchStep, values=WatchValues)
_Film = _with_types(
    FilmStep,
    values=MovieValues,
    votes=Sequence[_Vote],  # type: ignore[valid-type]
    watches=Sequence[_Watch],  # type: ignore[valid-type]
)
_Plan = _with_types(
    Plan,
    people=list[_Person],  # type: ignore[valid-type]
    lists=list[_List],  # type: ignore[valid-type]
    views=list[_View],  # type: ignore[valid-type]
    films=list[_Film],  # type: ignore[valid-type]
    noticed=None,
)
_DECODER: msgspec.msgpack.Decoder = msgspec.msgpack.Decoder(_Plan)


def pack(plan: Plan) -> bytes:
    return msgspec.msgpack.encode(plan, enc_hook=_as_plain)


def unpack(data: bytes) -> Plan:
    """Raises ValueError for what `pack` of this version did not write."""
    return _DECODER.decode(data)


def _as_plain(value: Any) -> dict | None:
    """What was noticed while planning is left behind: it is among the plan's warnings by now."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Warnings):
        return None
    raise NotImplementedError(type(value).__name__)
