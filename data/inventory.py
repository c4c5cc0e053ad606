"""Write data/README.md: every recording that the shipped studies use, from their entries.

`python data/inventory.py`; a test keeps the page current.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from cortseq import yamlfile

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "data/README.md"

HEAD = """\
# Raw recordings

Nothing here is committed. A study names each file by `path`, `url` and `sha256`. It is looked up as
given (from the study's folder, then from the working directory), in `data/raw/`, by name and sha256 in
the folders of `mirrors:` and of the environment variable `CORTSEQ_MIRRORS` (separated by `:`), and then
fetched from its `url` (http or https; whole, at most 20 GB or `CORTSEQ_DOWNLOAD_MB`). What you place is
never written, moved or deleted. Copies from mirrors and packages and downloads lie in `data/cache/`,
which may be deleted at any time. Rows without a link name the script of this folder that makes or finds the
file; its head says from what. Put the file into `data/raw/`. A file that you make anew differs in
bytes, and for `decision` also in its trials and units. The study then refuses it in one line; put the
printed sha256 into the study.

This page is written by `python data/inventory.py` from the entries of `config/`.

| studies | file | what | origin | licence | sha256 |
|---|---|---|---|---|---|
"""

TAIL = """
A recording of suite2p or phy is a folder. It is read where it lies (as given, under `data/raw/`, or in a
folder of `CORTSEQ_MIRRORS`), never copied; its `sha256` is that of the lines `sha256sum` prints for its
files, sorted by name. Formats that are read: docs/formats.md.
"""


def studies() -> list[Path]:
    """Return the shipped study files."""
    return [ROOT / "config/config.yaml", *sorted((ROOT / "config/studies").glob("*.yaml"))]


def recordings() -> dict[str, dict[str, Any]]:
    """Return file -> its entry, with the studies that use it."""
    found: dict[str, dict[str, Any]] = {}
    for file in studies():
        content = yamlfile.load(file)
        for entry in (content.get("datasets") or {}).values():
            if "path" in entry:
                known = found.setdefault(entry["path"], {**entry, "studies": []})
                if content["study"] not in known["studies"]:
                    known["studies"].append(content["study"])
    return found


def row(path: str, entry: dict[str, Any]) -> str:
    """Return the line of one recording."""
    name = f"[`{path}`]({entry['url']})" if "url" in entry else f"`{path}`"
    package = entry.get("package")
    name = f"`{path}` in the package {package}" if package else name
    digest = f"`{entry['sha256']}`" if "sha256" in entry else "of the package's version in constraints.txt"
    cells = [", ".join(entry["studies"]), name, entry["what"], entry["cite"], entry["licence"], digest]
    return f"| {' | '.join(cells)} |"


def page() -> str:
    """Return the text of data/README.md."""
    return HEAD + "\n".join(row(path, entry) for path, entry in recordings().items()) + "\n" + TAIL


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name}: {len(recordings())} recordings\n")
