"""The code that whoever sets up the server types, where it is not opened on the machine itself:
`data/setup_code`, until there is an account."""

import contextlib
import hmac
import os
import re
import secrets

from mm import config, files

# Without letters and digits that look alike.
ALPHABET = "ACDEFGHJKMNPQRTUVWXY34679"
GROUPS, LENGTH = 3, 4
FORM = re.compile(rf"[{ALPHABET}]{{{LENGTH}}}(-[{ALPHABET}]{{{LENGTH}}}){{{GROUPS - 1}}}")


def ensure() -> str:
    """The code, made on first use. For a server without an account."""
    path = config.current.setup_code_file
    if code := _read():
        return code
    groups = ["".join(secrets.choice(ALPHABET) for _ in range(LENGTH)) for _ in range(GROUPS)]
    with files.draft(path.parent) as draft:
        files.write(draft, "-".join(groups).encode())
        try:
            # Another process may have been quicker, and have said its code.
            os.link(draft, path)
        except OSError:
            if not _read():
                os.replace(draft, path)
    return _read() or "-".join(groups)


def matches(text: str) -> bool:
    """Whether this is the code; in upper or lower case, with or without the dashes."""
    code = _read()
    return code is not None and hmac.compare_digest(_bare(text), _bare(code))


def forget() -> None:
    config.current.setup_code_file.unlink(missing_ok=True)


def _read() -> str | None:
    """None where there is none, or the file holds something else."""
    with contextlib.suppress(FileNotFoundError, UnicodeDecodeError):
        text = config.current.setup_code_file.read_text().strip()
        return text if FORM.fullmatch(text) else None
    return None


def _bare(text: str) -> bytes:
    return re.sub(r"[\s-]", "", text).upper().encode(errors="replace")
