"""Fetch a recording without an address in its study from its archive, into data/raw/, checked by its sha256.

    python data/get.py figshare 6943265 zf_20151104-f1_activity_matrix.csv SHA256
    python data/get.py dandi 000009 sub_anm00239123_ses_20170627T093549_ecephys_and_ogen.nwb SHA256

figshare: the article's files are listed by the archive's public interface, and the file of this name is
fetched; without one, the names there are printed. dandi (needs `pip install dandi`): the asset whose metadata
bear the sha256, whatever its name. Neither archive could be reached where this was written: it was tried on
made-up answers. The sha256 stands in data/README.md and in the study.
"""

from __future__ import annotations

import http.client
import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

from cortseq import download, store
from cortseq.errors import CortseqError

RAW = Path("data/raw")
ARGUMENTS = ("figshare|dandi", "NUMBER", "FILE", "SHA256")
FIGSHARE = "https://api.figshare.com/v2/articles/{}"


def figshare(article: str, name: str, listed: dict[str, Any] | None = None) -> str:
    """Return the address of a file of an article; `listed` is the archive's answer, else it is asked."""
    if listed is None:
        with urllib.request.urlopen(FIGSHARE.format(article), timeout=60) as answer:
            listed = json.load(answer)
    files = {item["name"]: item["download_url"] for item in listed["files"]}
    if name not in files:
        raise CortseqError(
            "the article has no such file",
            key=article,
            value=name,
            fix=f"it has {sorted(files)}; fetch by hand",
        )
    return str(files[name])


def dandi(dandiset: str, sha256: str, client: Any = None) -> str:
    """Return the address of the asset of a dandiset that has this sha256."""
    if client is None:
        try:
            from dandi.dandiapi import DandiAPIClient
        except ImportError as error:
            raise CortseqError(f"needs the package dandi ({error})", fix="pip install dandi") from error
        client = DandiAPIClient()
    for asset in client.get_dandiset(dandiset).get_assets():
        if asset.get_raw_metadata().get("digest", {}).get("dandi:sha2-256") == sha256:
            return str(asset.download_url)
    raise CortseqError("no asset of the dandiset has this sha256", key=dandiset, value=sha256)


def place(url: str, name: str, sha256: str) -> Path:
    """Fetch an address to data/raw/; CortseqError where the content is another."""
    target = RAW / name
    RAW.mkdir(parents=True, exist_ok=True)
    if target.exists():
        raise CortseqError("is there already", file=target)
    with store.atomic(target) as temporary:
        download.download(url, temporary, target)
        found = store.sha256(temporary)
        if found != sha256:
            raise CortseqError(f"sha256 is {found}, not that of the study", key="sha256", value=sha256)
    return target


def address(archive: str, number: str, name: str, sha256: str) -> str:
    """Return the address of a file of an archive; CortseqError where the archive fails."""
    if archive not in ("figshare", "dandi"):
        raise CortseqError("is no archive known here", value=archive, fix="choose one of figshare, dandi")
    try:
        return figshare(number, name) if archive == "figshare" else dandi(number, sha256)
    except CortseqError:
        raise
    except (OSError, http.client.HTTPException, RuntimeError, ValueError, LookupError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise CortseqError(f"{archive} does not answer as expected ({reason})", key=number) from error


def main(given: list[str]) -> None:
    """Fetch what the arguments name; end in one line where that fails."""
    if len(given) != len(ARGUMENTS):
        sys.exit(f"usage: python data/get.py {' '.join(ARGUMENTS)}")
    _, _, name, sha256 = given
    try:
        sys.stdout.write(f"{place(address(*given), name, sha256)}\n")
    except (CortseqError, OSError) as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main(sys.argv[1:])
