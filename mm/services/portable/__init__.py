"""A library as one small file: out (`dump`, `encode`) and in (`read`, `plan`, `apply`).

The format is the v2 document: `mm/documents.py` gives its shape, `dumping` its order, `reading` what is accepted.
"""

from mm.services.portable.applying import apply
from mm.services.portable.dumping import dump, encode
from mm.services.portable.fields import FILE_MAX
from mm.services.portable.planning import count, plan
from mm.services.portable.reading import Incoming, has_too_many_parts, read
from mm.services.portable.steps import Plan
from mm.services.portable.viewing import changes, result, view

__all__ = [
    "FILE_MAX",
    "Incoming",
    "Plan",
    "apply",
    "changes",
    "count",
    "dump",
    "encode",
    "has_too_many_parts",
    "plan",
    "read",
    "result",
    "view",
]
