"""One figure = one module that binds `FIGURE`; nothing else is edited for a new one.

Its function `draw(...)` returns the matplotlib figure and a table with exactly what is drawn.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cortseq.figures.base import Figure


def registry() -> dict[str, Figure]:
    """Return every figure by the name of its module, in the order of the report."""
    folder, found = Path(__file__).parent, {}
    for info in pkgutil.iter_modules([str(folder)]):
        text = (folder / f"{info.name}.py").read_text(encoding="utf-8")
        if any(line.startswith("FIGURE = ") for line in text.splitlines()):
            found[info.name] = importlib.import_module(f"cortseq.figures.{info.name}").FIGURE
    return dict(sorted(found.items(), key=lambda item: (item[1].place, item[0])))
