"""Files over http: whole, of bounded size and time, and never from anywhere but the network."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from cortseq.errors import CortseqError

VARIABLE = "CORTSEQ_DOWNLOAD_MB"
MOST_MB = 20_000  # of one file
MOST_UNKNOWN_MB = 2_000  # of one file whose server does not say how long it is
MOST_SECONDS = 3600.0
SILENCE = 60.0  # s without a byte
SLOWEST = 1000.0  # bytes per s, on the mean of the whole download after a minute
SPARE = 200e6  # bytes of the disk that are left free
_CHUNK = 1 << 18
_SCHEMES = ("http", "https")


def allowed(url: str) -> bool:
    """Whether an address is one of http or https, with a host."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in _SCHEMES and bool(parts.netloc)


def download(url: str, temporary: Path, target: Path) -> None:
    """Write what an address holds to `temporary`.

    Parameters
    ----------
    url : http or https; redirects to anything else are refused.
    temporary : file that is written.
    target : where the file will lie in the end, for the error.

    Raises
    ------
    CortseqError : the server fails, ends early, never ends or is too slow; the disk is too small.
    """
    fix = f"put the file at data/raw/{target.name}, or name a folder that has it in CORTSEQ_MIRRORS"
    if not allowed(url):
        raise CortseqError("only http and https are fetched", key="url", value=url, fix=fix)
    try:
        with answered(url, SILENCE) as answer, temporary.open("wb") as file:
            _copy(answer, file, url)
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise CortseqError(f"cannot be fetched ({reason})", key="url", value=url, fix=fix) from error


def most_mb(known: bool) -> int:
    """Return the largest download in MB: CORTSEQ_DOWNLOAD_MB, or a bound that depends on a known length."""
    given = os.environ.get(VARIABLE, "")
    if given.isascii() and given.isdigit() and int(given):
        return int(given)
    return MOST_MB if known else MOST_UNKNOWN_MB


class _SameSchemes(urllib.request.HTTPRedirectHandler):
    """Follow a redirect to http or https only."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Return the request of a redirect that is allowed."""
        if not allowed(newurl):
            fp.close()
            raise CortseqError("redirects to another place than http or https", key="url", value=newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextlib.contextmanager
def answered(request: str | urllib.request.Request, seconds: float) -> Iterator[http.client.HTTPResponse]:
    """Hand out the answer of an http or https address; the connection is closed even where it is an error.

    Parameters
    ----------
    request : address, or a request with headers.
    seconds : without a byte, after which the server is given up.

    Raises
    ------
    urllib.error.HTTPError : the server answers with an error.
    """
    try:
        with _opener().open(request, timeout=seconds) as answer:
            yield answer
    except urllib.error.HTTPError as error:
        error.close()
        raise


def _opener() -> urllib.request.OpenerDirector:
    """Return what opens every address: http and https only (no file:, data:, ftp:), redirects included."""
    director = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        _SameSchemes(),
        urllib.request.HTTPErrorProcessor(),
    ):
        director.add_handler(handler)
    director.addheaders = [("User-Agent", "cortseq")]
    return director


def _copy(answer: http.client.HTTPResponse, file: IO[bytes], url: str) -> None:
    """Copy an answer to an open file, chunk by chunk, as long as it may last."""
    length = answer.headers.get("Content-Length")
    expected = int(length) if length and length.isdigit() else None
    bound = most_mb(expected is not None) * 1e6
    bound = min(bound, max(shutil.disk_usage(Path(file.name).parent).free - SPARE, 0))
    start, n = time.monotonic(), 0
    while True:
        if max(n, expected or 0) > bound:
            raise CortseqError(
                f"is larger than {bound / 1e6:.0f} MB",
                key="url",
                value=url,
                fix=f"free the disk, or set {VARIABLE} to more MB",
            )
        chunk = answer.read1(_CHUNK)
        if not chunk:
            break
        file.write(chunk)
        n += len(chunk)
        passed = time.monotonic() - start
        if passed > MOST_SECONDS or (passed > SILENCE and n / passed < SLOWEST):
            raise TimeoutError(f"{n} bytes in {passed:.0f} s")
    if expected is not None and n != expected:
        raise ConnectionError(f"it ended after {n} of {expected} bytes")
