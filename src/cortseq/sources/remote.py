"""A file on a web server, read in pieces: only the bytes that are asked for are fetched."""

from __future__ import annotations

import http.client
import io
import re
import urllib.error
import urllib.request
from collections import OrderedDict
from typing import Any

from cortseq.download import allowed, answered
from cortseq.errors import CortseqError

BLOCK = 1 << 18  # bytes of one request at the least
_BLOCKS = 512  # that are kept
_TIMEOUT, _TRIES = 60.0, 3


class RemoteFile(io.RawIOBase):
    """A read-only file behind an http(s) URL whose server answers range requests.

    Parameters
    ----------
    url : http:// or https://; redirects to anything else are refused.

    Attributes
    ----------
    size : int, bytes of the whole file.
    fetched : int, bytes that were fetched so far.

    Raises
    ------
    CortseqError : not such a URL, no answer, or a server that sends only whole files.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        if not allowed(url):
            raise CortseqError("is streamed over http(s) only", key="url", value=url)
        self._url, self._position, self.fetched, self.size = url, 0, 0, 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._block(0)

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position in bytes and return it."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(start + offset, 0)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` from the position on; return how many bytes were read."""
        n = max(min(len(buffer), self.size - self._position), 0)
        done = 0
        while done < n:
            block, inside = divmod(self._position + done, BLOCK)
            piece = self._block(block)[inside : inside + n - done]
            if not piece:
                raise CortseqError("the server sent less than it announced", key="url", value=self._url)
            buffer[done : done + len(piece)] = piece
            done += len(piece)
        self._position += done
        return done

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        first = number * BLOCK
        last = first + BLOCK - 1
        content = self._fetch(first, min(last, self.size - 1) if self.size else last)
        self._blocks[number] = content
        if len(self._blocks) > _BLOCKS:
            self._blocks.popitem(last=False)
        return content

    def _fetch(self, first: int, last: int) -> bytes:
        """Return bytes `first` to `last`; a server that fails for the moment is asked again."""
        for attempt in range(1, _TRIES + 1):
            try:
                content = self._request(first, last)
                break
            except (http.client.HTTPException, OSError, ValueError) as error:
                refused = isinstance(error, urllib.error.HTTPError) and error.code < 500
                if refused or attempt == _TRIES:
                    raise CortseqError(f"cannot be read ({error})", key="url", value=self._url) from error
        self.fetched += len(content)
        return content

    def _request(self, first: int, last: int) -> bytes:
        request = urllib.request.Request(self._url, headers={"Range": f"bytes={first}-{last}"})
        with answered(request, _TIMEOUT) as answer:
            total = re.fullmatch(r"bytes \d+-\d+/(\d+)", answer.headers.get("Content-Range", ""))
            if answer.status != 206 or total is None:
                fix = "remove stream: to fetch it"
                raise CortseqError(
                    "the server sends whole files only", key="stream", value=self._url, fix=fix
                )
            content: bytes = answer.read(last - first + 1)
        self.size = int(total[1])
        return content
