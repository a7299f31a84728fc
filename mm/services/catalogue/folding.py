"""The form in which titles are compared: without case, accents, punctuation and a leading article.

The catalogue is built and searched with the same functions. A change here needs another
`store.VERSION`, so that catalogues are built again.
"""

import re
import unicodedata

# Letters that Unicode does not split into a letter and an accent.
LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h"}
)
APOSTROPHES = dict.fromkeys(map(ord, "'’‘ʼ´`"))
ARTICLE = re.compile(r"(?:the|an?) (?=.)")
WORD = re.compile(r"[^\W_]+")
# Sequels are numbered either way. Not numerals of one letter: "Malcolm X".
ROMAN = ("ii", "iii", "iv", "vi", "vii", "viii", "ix", "xi", "xii", "xiii")
ARABIC = dict(zip(ROMAN, ("2", "3", "4", "6", "7", "8", "9", "11", "12", "13"), strict=True))
NUMERALS = frozenset(ROMAN)


def folded(text: str) -> str:
    """ "Amélie’s  Café & Co." -> "amelies cafe and co"."""
    if _is_plain(text):
        return " ".join(text.lower().split())
    return " ".join(WORD.findall(_plain(text).translate(APOSTROPHES)))


def without_article(folded_title: str) -> str:
    """ "the matrix" -> "matrix"; "the" stays."""
    return ARTICLE.sub("", folded_title, count=1) if folded_title[:1] in "ta" else folded_title


def folded_and_words(title: str) -> tuple[str, str]:
    """Of one title, as `folded` and `words`, but for words that stand in it twice."""
    if not _is_plain(title):
        return folded(title), words(title)
    parts = title.lower().split()
    text = " ".join(parts)
    return text, text if NUMERALS.isdisjoint(parts) else words(title)


def words(*titles: str) -> str:
    """All words by which these titles are found, each once. Words joined by punctuation
    are also found as one ("X-Men": x, men, xmen), and II as 2."""
    found: dict[str, None] = {}
    for title in titles:
        if _is_plain(title):
            parts = dict.fromkeys(title.lower().split())
            found |= parts
            if not NUMERALS.isdisjoint(parts):
                found |= dict.fromkeys(ARABIC[part] for part in parts if part in ARABIC)
            continue
        for chunk in _plain(title).split():
            letters = WORD.findall(chunk)
            for part in letters:
                found[part] = None
                if part in ARABIC:
                    found[ARABIC[part]] = None
            if len(letters) > 1:
                # "O'Brien-Smith" is searched for as obrien smith.
                for word in (*WORD.findall(chunk.translate(APOSTROPHES)), "".join(letters)):
                    found[word] = None
    return " ".join(found)


def _is_plain(text: str) -> bool:
    """Most titles have only letters, digits and spaces: millions are folded in a build."""
    return text.isascii() and text.replace(" ", "").isalnum()


def _plain(text: str) -> str:
    """In lower case, without accents."""
    if text.isascii():
        text = text.lower()
    else:
        apart = unicodedata.normalize("NFKD", text.casefold().translate(LETTERS))
        text = "".join(char for char in apart if not unicodedata.combining(char))
    return text.replace("&", " and ") if "&" in text else text
