"""A library as one small file: out (`dump`, `encode`) and in (`read`, `plan`, `apply`).

The format is the v2 document: `mm/schemas/portable.py` gives its shape, `export` its order,
`reader` what is accepted.
"""

from mm.services.portable.export import dump, encode, export_file
from mm.services.portable.guards import document, has_too_many_parts
from mm.services.portable.packing import pack, unpack
from mm.services.portable.planner import count, plan
from mm.services.portable.plans import Plan
from mm.services.portable.reader import Incoming, read
from mm.services.portable.report import changes, result, view
from mm.services.portable.writer import CHANGED, apply
from mm.services.validation import FILE_MAX

__all__ = [
    "CHANGED",
    "FILE_MAX",
    "Incoming",
    "Plan",
    "apply",
    "changes",
    "count",
    "document",
    "dump",
    "encode",
    "export_file",
    "has_too_many_parts",
    "pack",
    "plan",
    "read",
    "result",
    "unpack",
    "view",
]
