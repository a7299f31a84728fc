"""The log: a line for each thing that happened, `time level event key=value …`, on standard error.

Fields say which account (its id), which file, how many: never a film's name, an e-mail address or
a key. What went wrong unexpectedly gets a short code, which the page shows and the log explains.
"""

import contextlib
import json
import logging
import re
import secrets
import sys
import traceback
from collections.abc import Iterator

from mm import clock, config

# Without letters and digits that are taken for each other when read aloud.
CODE_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
CODE_LENGTH = 5
HIDDEN = "[hidden]"
PLAIN = re.compile(r"[^\s\"=]+")
IN_ADDRESSES = re.compile(r"\b((?:api_?key|token|password)=)[^&\s\"'<>)]+", re.IGNORECASE)
IN_HEADERS = re.compile(r"\b(Bearer )[A-Za-z0-9._~+/=-]+")
# The attribute of an exception that has been logged.
CODE = "_logged_under"
# A shorter one would hide ordinary words.
SECRET_MIN = 4

_logger = logging.getLogger("mm")
_secrets: set[str] = set()


def start(settings: config.Config) -> None:
    """Write lines of `log_level` and above to standard error. Can be called again with others."""
    protect(settings.tmdb_api_key, settings.omdb_api_key, settings.admin_token)
    for url in (settings.database_url, settings.huey_url):
        protect(url.partition("://")[2].rpartition("@")[0].partition(":")[2])
    _logger.setLevel(settings.log_level)
    if not any(isinstance(handler, _StandardError) for handler in _logger.handlers):
        _logger.addHandler(_StandardError())


def adopt(name: str, settings: config.Config) -> None:
    """Let a library's logger write lines of ours: warnings and errors, at DEBUG all it says."""
    library = logging.getLogger(name)
    library.handlers = [_StandardError()]
    library.propagate = False
    library.setLevel("WARNING" if settings.log_level == "INFO" else settings.log_level)


@contextlib.contextmanager
def only_errors() -> Iterator[None]:
    """For the command line, which says in words of its own what it does."""
    before = _logger.level
    _logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        _logger.setLevel(before)


def protect(*values: str) -> None:
    """Never print these."""
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
    """Log a problem with its traceback; returns the code under which it can be found. One that is
    raised on and met again has its code already, and is not logged twice."""
    if known := getattr(problem, CODE, None):
        return known
    code = new_code()
    setattr(problem, CODE, code)
    _logger.error(event, extra={"fields": {"code": code, **fields}}, exc_info=problem)
    return code


class Isolated:
    """`code`: that of what went wrong in the block, None where nothing did."""

    code: str | None = None


@contextlib.contextmanager
def isolated(
    event: str, *, besides: tuple[type[Exception], ...] = (), **fields: object
) -> Iterator[Isolated]:
    """One bad item costs that item: what goes wrong unexpectedly in the block is logged, and the
    program goes on behind it. `besides` are the errors that the caller deals with."""
    block = Isolated()
    try:
        yield block
    except besides:
        raise
    except Exception as problem:  # noqa: BLE001  The one place where anything may be caught.
        block.code = unexpected(event, problem, **fields)


def new_code() -> str:
    return "".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_LENGTH))


def redact(text: str) -> str:
    """Without the server's secrets, and without what looks like one in an address or a header."""
    for secret in _secrets:
        text = text.replace(secret, HIDDEN)
    return IN_HEADERS.sub(rf"\1{HIDDEN}", IN_ADDRESSES.sub(rf"\1{HIDDEN}", text))


class _StandardError(logging.Handler):
    """Looks for the stream at each line, because tests and servers replace it."""

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
        parts = [moment, record.levelname, *_words(record)]
        lines = [" ".join(parts)]
        if record.exc_info and record.exc_info[1]:
            told = "".join(traceback.format_exception(record.exc_info[1]))
            # Indented, so that a line that begins with a time is always one event.
            lines += [f"    {line}" for line in told.splitlines()]
        return redact("\n".join(lines))


def _words(record: logging.LogRecord) -> list[str]:
    """The event and its fields; what a library logs is one field, `message`."""
    fields = getattr(record, "fields", None)
    if fields is None:
        return [record.name, f"message={_quoted(record.getMessage())}"]
    return [record.getMessage(), *(f"{key}={_quoted(value)}" for key, value in fields.items())]


def _quoted(value: object) -> str:
    """As it is where that is one word, else as a JSON text: no value can begin another line."""
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return text if PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
