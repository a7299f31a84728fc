"""Posters from TMDB's image host: small, of a known type, and from no other host."""

import time

import requests
import urllib3

from mm.providers import client
from mm.providers.limits import RateLimiter

BYTES_MAX = 4 * 2**20
CONNECT_SECONDS, READ_SECONDS = 4, 8
# For the whole picture.
WHOLE_SECONDS = 20
# By the first bytes, because a file's name proves nothing.
KINDS = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}
HEAD = 12


def kind_of(head: bytes) -> str | None:
    """The media type of a picture by its first HEAD bytes: JPEG, PNG or WebP, else None."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in KINDS.items() if head.startswith(start)), None)


def fetch(url: str, limiter: RateLimiter) -> bytes:
    """One try. Raises client.NotFoundError where the host has no usable picture, and
    client.TemporaryError where it did not answer. Redirects, which could lead anywhere, are not
    followed."""
    timeout = (CONNECT_SECONDS, READ_SECONDS)
    try:
        with (
            limiter.slot(),
            requests.get(url, stream=True, allow_redirects=False, timeout=timeout) as response,
        ):
            if response.status_code >= 500 or response.status_code == 429:
                raise client.TemporaryError(f"The image host answered with {response.status_code}.")
            if response.status_code != 200:
                raise client.NotFoundError(f"The image host answered with {response.status_code}.")
            content = client.read_body(response, time.monotonic() + WHOLE_SECONDS, BYTES_MAX)
    except client.TooLargeError:
        raise client.NotFoundError(f"The picture is larger than {BYTES_MAX >> 20} MiB.") from None
    except urllib3.exceptions.TimeoutError:
        raise client.TemporaryError("The image host was too slow.") from None
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        raise client.TemporaryError(
            f"The image host could not be reached ({type(error).__name__})."
        ) from None
    if kind_of(content[:HEAD]) is None:
        raise client.NotFoundError("The image host sent something that is not a picture.")
    return content
