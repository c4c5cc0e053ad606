"""Notebooks of `examples/` as pages of the site, with the outputs they were kept with; nothing is run."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # of a terminal


def page(file: Path) -> tuple[str, dict[str, bytes]]:
    """Return a notebook as Markdown, and its pictures by the names that the page calls them.

    Parameters
    ----------
    file : of a notebook, format 4.
    """
    notebook = json.loads(file.read_text(encoding="utf-8"))
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else _fenced(source, "python"))
        for output in cell.get("outputs", ()):
            parts.append(_output(output, f"{file.stem}_{len(pictures)}.png", pictures))
    said = f"*Made from the notebook `examples/{file.name}`, which a clone of the project holds.*"
    return "\n\n".join([parts[0], said, *parts[1:]]) + "\n", pictures


def _output(output: dict[str, Any], picture: str, pictures: dict[str, bytes]) -> str:
    """Return an output of a cell as Markdown; a picture is put into `pictures` under its name."""
    data = output.get("data", {})
    if "image/png" in data:
        pictures[picture] = base64.b64decode("".join(data["image/png"]))
        return f"![What the cell above draws]({picture})"
    html = "".join(data.get("text/html", ""))
    if html and "<style" not in html:  # styles of its own are made for a notebook, and clash with a page
        block = "\n".join(line for line in html.splitlines() if line.strip())  # a blank line would end it
        return f'<div class="output">{block}</div>'
    return _fenced(_COLOUR.sub("", "".join(output.get("text") or data.get("text/plain", ""))), "text")


def _fenced(text: str, language: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```" if text.strip() else ""
