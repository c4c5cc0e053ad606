"""Facts that took long to find, remembered by a digest of all they depend on, in the user's cache."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

from cortseq import store

FILE = "facts.json"
_MOST = 300  # facts that are kept; the oldest go first


def remembered(key: str, find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what `find` returns, from the cache where it was found under the same key before.

    Parameters
    ----------
    key : digest of everything that the facts depend on; "": they are found again each time.
    find : () -> facts that JSON can hold. An error is not remembered.
    """
    known = _read() if key else {}
    if key in known:
        facts: dict[str, Any] = json.loads(known[key])
        return facts
    found = find()
    if key:
        kept = dict(list(known.items())[1 - _MOST :])
        with contextlib.suppress(OSError, RuntimeError):  # a home that cannot be written to
            # texts, since the order of the facts is that in which they are printed
            store.write_text(json.dumps(kept | {key: json.dumps(found)}), store.user_cache(FILE))
    return found


def _read() -> dict[str, str]:
    with contextlib.suppress(OSError, RuntimeError, ValueError):  # not there, no home, or not whole
        known: dict[str, str] = json.loads(store.user_cache(FILE).read_text(encoding="utf-8"))
        return known
    return {}
