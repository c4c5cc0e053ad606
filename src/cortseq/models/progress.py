"""What a fit says while it runs, and where it keeps what is unfinished."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Progress = Callable[..., None]  # (line, fraction done or None)


@dataclass(frozen=True)
class Checkpoint:
    """Where an unfinished fit is kept, and how often it is written there."""

    path: Path
    seconds: float = 60.0


def silent(line: str, fraction: float | None = None) -> None:
    """Progress that nobody sees."""


class Bar:
    """A bar of tqdm, on a terminal or in a notebook, with the last line behind it."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __call__(self, line: str, fraction: float | None = None) -> None:
        """Show a line and, where it is known, the fraction of the work that is done; 1 ends the bar."""
        if self._bar is None:
            self._bar = _tqdm()(total=1.0, file=sys.stderr, bar_format="{percentage:3.0f}%|{bar:30}| {desc}")
        if fraction is not None:
            self._bar.n = fraction
        self._bar.set_description_str(line)
        if fraction == 1.0:
            self._bar.close()
            self._bar = None


def _tqdm() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a notebook without ipywidgets gets a bar of characters
        from tqdm.auto import tqdm
    return tqdm


def chosen(progress: Progress | bool | None = None) -> Progress:
    """Return what is called with each line of a fit.

    Parameters
    ----------
    progress : True: a bar; False: nothing; None: a bar where a person looks on, which is a terminal or a
        notebook; a function of (line, fraction done or None): itself.
    """
    if callable(progress):
        return progress
    looked_on = sys.stderr.isatty() or "ipykernel" in sys.modules
    return Bar() if progress or (progress is None and looked_on) else silent
