"""How many backups a user keeps: read, typed, changed, and said in words. retention.py decides."""

import re

import msgspec

from mm.database import db
from mm.models import User
from mm.schemas.types import KEEP_MAX
from mm.services.backup.retention import NEWEST, Policy
from mm.services.validation import FieldError, required, whole_number

# kind -> the unit in which it is counted
UNITS = {"daily": "day", "weekly": "week", "monthly": "month", "yearly": "year"}
# (unit counted in, unit typed) -> how many of the former; rather one too many
FACTORS = {
    **{(unit, unit): 1 for unit in UNITS.values()},
    ("day", "week"): 7,
    ("day", "month"): 31,
    ("day", "year"): 366,
    ("week", "month"): 5,
    ("week", "year"): 53,
    ("month", "year"): 12,
}
TYPED = re.compile(r"(?P<count>\d{1,6})\s*(?P<unit>day|week|month|year)?s?", re.ASCII)
NONE = ("", "none", "no", "never", "off")


def of(user: User) -> Policy:
    return Policy(**{kind: getattr(user, f"keep_{kind}") for kind in UNITS})


def of_id(user_id: str) -> Policy:
    """Of an account that was removed, whose folder is still there: the usual one."""
    user = User.get_or_none(User.id == user_id)
    return of(user) if user else Policy()


def changed(policy: Policy, **counts: int) -> Policy:
    """`policy` with other counts of some kinds. Raises FieldError for one that is out of range."""
    return msgspec.structs.replace(
        policy, **{kind: _checked(kind, count) for kind, count in counts.items()}
    )


def save(user: User, policy: Policy) -> None:
    """Deletes nothing yet: that is done after the next verified backup, or in the nightly check."""
    values = {f"keep_{kind}": count for kind, count in msgspec.structs.asdict(policy).items()}
    with db.atomic():
        User.update(**values).where(User.id == user.id).execute()


def parse(kind: str, text: str) -> int:
    """What was typed: "14", "14 days", "2 weeks", "none". Raises FieldError with the path
    keep_KIND."""
    typed, unit = text.strip().lower(), UNITS[kind]
    if typed in NONE:
        return 0
    match = TYPED.fullmatch(typed)
    factor = match and FACTORS.get((unit, match["unit"] or unit))
    if not match or not factor:
        example = "14, 14 days or 2 weeks" if kind == "daily" else f"4, 4 {unit}s or none"
        raise FieldError(f"keep_{kind}", f"write a number of {unit}s, such as {example}")
    return _checked(kind, int(match["count"]) * factor)


def counted(kind: str, count: int) -> str:
    """Such as "14 days", "1 week", "none": what `parse` reads."""
    unit = UNITS[kind]
    return f"{count:,} {unit}{'s' * (count != 1)}" if count else "none"


def texts(policy: Policy) -> dict[str, str]:
    """By kind, as `counted` says it."""
    return {kind: counted(kind, getattr(policy, kind)) for kind in UNITS}


def words(policy: Policy) -> str:
    """What is kept: "14 days", "14 days, 8 weeks and 12 months", or the 3 newest ones."""
    parts = [text for kind, text in texts(policy).items() if getattr(policy, kind)]
    if not parts:
        return f"the {NEWEST} newest"
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def _checked(kind: str, count: object) -> int:
    key, unit, most = f"keep_{kind}", UNITS[kind], KEEP_MAX[kind]
    number = required(whole_number(count, key), key)
    if not 0 <= number <= most:
        raise FieldError(key, f"can be 0 to {most} {unit}s")
    return number
