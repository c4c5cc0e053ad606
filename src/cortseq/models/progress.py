"""What a fit says while it runs, and where it keeps what is unfinished."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Progress = Callable[..., None]  # (line, fraction done or None)


@dataclass(frozen=True)
class Checkpoint:
    """Where an unfinished fit is kept, and how often it is written there."""

    path: Path
    seconds: float = 60.0


def silent(line: str, fraction: float | None = None) -> None:
    """Progress that nobody sees."""


def default_progress() -> Progress:
    """Return a bar that is drawn over itself on a terminal, and nothing elsewhere."""

    def bar(line: str, fraction: float | None = None) -> None:
        done = "" if fraction is None else f"[{'#' * round(30 * fraction):30}] "
        sys.stderr.write(f"\r\033[K{done}{line}" + ("\n" if fraction is None else ""))
        sys.stderr.flush()

    return bar if sys.stderr.isatty() else silent
