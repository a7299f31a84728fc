"""The log: one line an event, `time level event key=value …`, on standard error.

Fields name the account by its id, the file, a number: never a film's title, an email address or a
key. An unexpected error gets a short code: the page shows it, and the log has its traceback.
"""

import contextlib
import json
import logging
import re
import secrets
import sys
import traceback
from collections.abc import Iterator

from mm import clock, config, disk

# Without the letters and digits that are easily mistaken for one another.
CODE_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
CODE_LENGTH = 5
HIDDEN = "[hidden]"
PLAIN = re.compile(r"[^\s\"=]+")
IN_ADDRESSES = re.compile(r"\b((?:api_?key|token|password)=)[^&\s\"'<>)]+", re.IGNORECASE)
IN_HEADERS = re.compile(r"\b(Bearer )[A-Za-z0-9._~+/=-]+")
# The attribute that holds the code of an exception that has been logged.
CODE = "_log_code"
# Hiding a shorter one would hide ordinary words too.
SECRET_MIN = 4

_logger = logging.getLogger("mm")
_secrets: set[str] = set()


def start(settings: config.Config) -> None:
    """Write lines of `log_level` and above to standard error. May be called again."""
    protect(settings.tmdb_api_key, settings.omdb_api_key, settings.admin_token)
    for url in (settings.database_url, settings.huey_url):
        protect(url.partition("://")[2].rpartition("@")[0].partition(":")[2])
    _logger.setLevel(settings.log_level)
    if not any(isinstance(handler, _StandardError) for handler in _logger.handlers):
        _logger.addHandler(_StandardError())


def adopt(name: str, settings: config.Config) -> None:
    """Write what a library logs in our format: warnings and errors, at level DEBUG all of it."""
    library = logging.getLogger(name)
    library.handlers = [_StandardError()]
    library.propagate = False
    library.setLevel("WARNING" if settings.log_level == "INFO" else settings.log_level)


@contextlib.contextmanager
def only_errors() -> Iterator[None]:
    """For the command line, which tells its user itself what it does."""
    before = _logger.level
    _logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        _logger.setLevel(before)


def protect(*values: str) -> None:
    """Hide these secrets wherever they would appear in the log."""
    _secrets.update(value for value in values if len(value) >= SECRET_MIN)


def debug(event: str, **fields: object) -> None:
    _logger.debug(event, extra={"fields": fields})


def info(event: str, **fields: object) -> None:
    _logger.info(event, extra={"fields": fields})


def warning(event: str, **fields: object) -> None:
    _logger.warning(event, extra={"fields": fields})


def error(event: str, **fields: object) -> None:
    _logger.error(event, extra={"fields": fields})


def unexpected(event: str, problem: BaseException, **fields: object) -> str:
    """Log an error with its traceback, and return its code. One that was logged already and raised
    again keeps its code and is not logged twice."""
    if logged := getattr(problem, CODE, None):
        return logged
    code = new_code()
    setattr(problem, CODE, code)
    _logger.error(event, extra={"fields": {"code": code, **fields}}, exc_info=problem)
    return code


class Caught:
    """`error`: what ended the block, None if nothing did; `code`: that of its log entry."""

    error: Exception | None = None
    code: str | None = None


@contextlib.contextmanager
def caught(besides: tuple[type[Exception], ...] = ()) -> Iterator[Caught]:
    """Catch whatever error ends the block, for the caller to record. Those of `besides` pass."""
    block = Caught()
    try:
        yield block
    except besides:
        raise
    except Exception as problem:  # noqa: BLE001  The one place where anything may be caught.
        block.error = problem


@contextlib.contextmanager
def isolated(
    event: str, *, besides: tuple[type[Exception], ...] = (), **fields: object
) -> Iterator[Caught]:
    """One bad item costs that item: an error in the block is logged, and the program goes on after
    the block. Errors of `besides`, which the caller handles, pass."""
    with caught(besides) as block:
        yield block
    if block.error:
        block.code = unexpected(event, block.error, **fields)


def pointer(code: str) -> str:
    """The sentence that leads from a page to the log entry of this code."""
    return f"Ask whoever runs this server (details in the log, code {code})."


def new_code() -> str:
    return "".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_LENGTH))


def redact(text: str) -> str:
    """`text` without the server's secrets, and without what looks like one in a URL or a header."""
    # Of one that begins as another does, nothing may be left.
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return IN_HEADERS.sub(rf"\1{HIDDEN}", IN_ADDRESSES.sub(rf"\1{HIDDEN}", text))


class _StandardError(logging.Handler):
    """Looks sys.stderr up for each line, because tests and servers replace it."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(_Lines())

    def emit(self, record: logging.LogRecord) -> None:
        if not hasattr(record, "fields") and record.exc_info and hasattr(record.exc_info[1], CODE):
            return
        try:
            print(self.format(record), file=sys.stderr, flush=True)
        except (OSError, ValueError):
            self.handleError(record)


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = clock.local(record.created, config.current.zone).isoformat(timespec="milliseconds")
        event, fields = record.getMessage(), getattr(record, "fields", None)
        if fields is None:
            # Logged by a library.
            event, fields = record.name, {"message": event}
        words = [moment, record.levelname, event]
        words += [f"{key}={_quoted(value)}" for key, value in fields.items()]
        lines = [" ".join(words)]
        if record.exc_info and record.exc_info[1]:
            problem = record.exc_info[1]
            # A damaged database is no bug: where it was noticed helps nobody.
            trace = (
                str(problem)
                if disk.is_damaged(problem)
                else "".join(traceback.format_exception(problem))
            )
            # Indented, so that a line that begins with a time is always the start of an event.
            lines += [f"    {line}" for line in trace.splitlines()]
        return redact("\n".join(lines))


def _quoted(value: object) -> str:
    """As JSON unless it is one plain word, so that no value can begin a new line."""
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return text if PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
