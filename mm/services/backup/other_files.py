"""Files of other programs, and our own that are no library, known by their content, so that who
chose one is told what it is."""

import re

ONLY_OURS = "Movie Manager can only read its own exports and backups, which are .json files."
EMPTY = "This file is empty. Choose a Movie Manager export or backup."
LETTERBOXD = f"This looks like a Letterboxd export. {ONLY_OURS}"
IMDB = f"This looks like an IMDb export. {ONLY_OURS}"
SERVER = (
    "This looks like an archive of a whole server. It can’t be imported into one library: choose "
    "an export or a backup of yours, a .json file."
)
ZIP = "This is a ZIP file. Unpack it first, then choose the .json file in it."
COMPRESSED = "This file is compressed. Unpack it first, then choose the .json file in it."
CSV = f"This looks like a table (CSV). {ONLY_OURS}"
WEB_PAGE = f"This looks like a web page. {ONLY_OURS}"
# A collection begins with its metadata, of which kind it is among them; and where it is imported.
COLLECTION = re.compile(r'"export_type"\s*:\s*"(people|lists|views|settings)"')
COLLECTIONS = {
    "people": "This file holds people. Import it on People.",
    "lists": "This file holds lists. Import it on Lists.",
    "views": "This file holds saved views. Import it on Library, under Filters.",
    "settings": "This file holds settings. Import it on Account.",
}
# Files that a Letterboxd ZIP has, and what its tables name in their first lines.
LETTERBOXD_FILES = (b"watched.csv", b"watchlist.csv", b"diary.csv")
LETTERBOXD_NAME = "letterboxd"
IMDB_COLUMNS = ("const,", "your rating")
FIRST_LINE_MAX = 2_000
SEPARATOR = re.compile("[,;\t]")


def recognised(data: bytes) -> str | None:
    """What to tell about a file that is no library. None where nobody can say more."""
    if not data.strip(b"\xef\xbb\xbf \t\r\n\0"):
        return EMPTY
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        if sum(name in data for name in LETTERBOXD_FILES) > 1:
            return LETTERBOXD
        return SERVER if b"metadata.json" in data and b"database.db" in data else ZIP
    if data.startswith((b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zXZ")):
        return COMPRESSED
    text = data[:FIRST_LINE_MAX].decode("utf-8-sig", "replace").lstrip()
    line = text.partition("\n")[0].rstrip("\r").casefold()
    if line.startswith(("<!doctype html", "<html")):
        return WEB_PAGE
    if line.startswith(("{", "[", '"{')):
        found = COLLECTION.search(text)
        return COLLECTIONS[found[1]] if found else None
    if LETTERBOXD_NAME in text.casefold():
        return LETTERBOXD
    if all(column in line for column in IMDB_COLUMNS):
        return IMDB
    return CSV if len(SEPARATOR.findall(line)) > 1 and "\n" in text else None
