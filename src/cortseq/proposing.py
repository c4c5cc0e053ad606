"""An entry for a file that nobody has described: proposals are tried until one gives a recording."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import yaml
from pydantic import ValidationError

from cortseq import preprocess, splits
from cortseq import recording as rec
from cortseq._lazy import xr
from cortseq.entries import fault, slug, stem
from cortseq.errors import CortseqError
from cortseq.scoring import blocks
from cortseq.sources import registry
from cortseq.sources.base import Proposal, Source
from cortseq.sources.guesses import window_for

_LABELS = 50  # labels per window of one long sequence
_MOST_INPUTS, _MOST_VALUES = 8, 20  # inputs that are proposed, and values that a label may have


@dataclass
class Draft:
    """An entry that was tried on its file.

    Attributes
    ----------
    name : of the dataset.
    entry : its keys, `path` or `url` as given.
    notes : key -> remark that stands behind it as a comment.
    recording : what it gives.
    inputs : what models might see, by name; written as comments.
    test_blocks : independent blocks of test data that one split of the recording has at most.
    """

    name: str
    entry: dict[str, Any]
    notes: dict[str, str] = field(default_factory=dict)
    recording: xr.Dataset | None = None
    inputs: dict[str, dict[str, str]] = field(default_factory=dict)
    test_blocks: int = 0

    def lines(self, folder: Path | None = None) -> list[str]:
        """Return the entry as lines of YAML, to stand under `datasets:`.

        Parameters
        ----------
        folder : where the study will lie; paths are written from there. None: as they are.
        """
        shown = dict(self.entry)
        if folder is not None and "path" in shown:
            shown["path"] = os.path.relpath(shown["path"], folder)
        if folder is not None and "trials" in shown:
            shown["trials"] = {**shown["trials"], "path": os.path.relpath(shown["trials"]["path"], folder)}
        found = [f"  {self.name}:"]
        for key, value in shown.items():
            remark = f"  # {self.notes[key]}" if key in self.notes else ""
            found.append(f"    {key}: {_flow(value)}{remark}")
        if self.inputs:
            found.append(
                "    # inputs:  # GUESS: what models may see of the animal; remove the # where it is so"
            )
            found += [f"    #   {name}: {_flow(value)}" for name, value in self.inputs.items()]
        return found


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10**9, sort_keys=False, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def candidates(path: Path | str) -> list[type[Source]]:
    """Return the sources that may read a file by its suffix, or a folder by the names in it.

    Parameters
    ----------
    path : a file or folder; the address of a file on a web server (text) is for sources that stream.
    """
    found = registry().values()
    if isinstance(path, str):
        suffix = PurePosixPath(urlsplit(path).path).suffix.lower()
        return [s for s in found if suffix in s.suffixes and "stream" in s.model_fields]
    if path.is_dir():
        return [
            s for s in found if any(True for pattern in s.parts for _ in path.glob(pattern)) or _own(s, path)
        ]
    return [s for s in found if path.suffix.lower() in s.suffixes]


def _own(source: type[Source], path: Path) -> bool:
    names = getattr(source, "zarr", ())
    return any((path / name).is_file() for name in names)


def draft(path: Path | str) -> Draft:
    """Return an entry that reads the file and gives a recording that can be split.

    Parameters
    ----------
    path : a file or folder, or the address of a file on a web server (text), which is read in pieces.

    Raises
    ------
    CortseqError : no source reads such a file, or all that is proposed is refused (the likeliest's reason).
    """
    proposals: list[Proposal] = []
    reasons: list[str] = []  # of the proposals, the likeliest first, then of sources that had none
    silent: list[str] = []
    where: Any = path  # sources that stream take an address too
    for source in candidates(path):
        try:
            with quiet():
                proposals += source.propose(where)
        except CortseqError as error:
            silent.append(str(error).splitlines()[0])
    for proposal in sorted(proposals, key=lambda p: -p.sure):
        try:
            with quiet():
                return settled(path, proposal)
        except CortseqError as error:
            reasons.append(str(error).splitlines()[0])
    why = next(iter([*reasons, *silent]), "no source knows what the file may be")
    home = None if str(path) in why else path
    raise CortseqError(why, file=home, fix=None if " -- " in why else _advice(path))


def _advice(path: Path | str) -> str:
    """Return what to do about a file that nothing is known of, or a folder that holds recordings."""
    children = sorted(path.iterdir()) if isinstance(path, Path) and path.is_dir() else []
    inside = [str(child) for child in children if candidates(child)]
    return f"name what it holds: {', '.join(inside[:3])}" if inside else "write an entry by hand"


def whole(path: Path) -> Path | None:
    """Return the folder that a source reads as a whole where `path` is one of its files; None: it is not."""
    patterns = (pattern for source in candidates(path.parent) for pattern in source.parts)
    return path.parent if any(path in path.parent.glob(pattern) for pattern in patterns) else None


def place(entry: dict[str, Any]) -> Path | None:
    """Return the file that an entry's source reads; None where it streams."""
    return Path(entry["path"]) if "path" in entry else None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hear no warning inside: a proposal that fails is no concern of the user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def settled(path: Path | str, proposal: Proposal) -> Draft:
    """Return a proposal with bins and windows that fit the file, after it was loaded, cut and split.

    Raises
    ------
    CortseqError : the proposal does not read the file, or what it reads is refused.
    """
    entry, notes = dict(proposal.entry), dict(proposal.notes)
    where = {"url": path, "stream": True} if isinstance(path, str) else {"path": str(path)}
    entry = {"source": entry.pop("source"), **where, **entry}
    raw = typed(entry).load(place(entry), 0)
    _cut(raw, entry, notes)
    source = typed(entry)
    recording = preprocess.judged(raw, source)
    manifest = splits.split(recording, splits.Deal(seed=0, folds=1), source, "dataset")
    test_blocks = blocks.most(len(manifest["folds"][0]["test"]), manifest["continuous"])
    name = slug(stem(PurePosixPath(urlsplit(path).path if isinstance(path, str) else path).name))
    inputs = dict([*proposal.inputs.items(), *_seen(recording, entry).items()][:_MOST_INPUTS])
    name = name if name[:1].isalpha() else f"d_{name}".rstrip("_")
    return Draft(name, entry, notes, recording, inputs, test_blocks)


def _seen(recording: xr.Dataset, entry: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Return the covariates of a recording as what models might see of them; outcomes never are."""
    found: dict[str, dict[str, str]] = {}
    for name in recording.attrs["covariates"]:
        key, values = entry.get("covariates", {}).get(name, name), recording[name].values
        if rec.is_outcome(recording, name) or rec.is_outcome(recording, slug(key)):
            continue
        if values.ndim == 2:
            found[slug(name)] = {"series": key}
        elif values.dtype.kind in "iuf":
            found[slug(name)] = {"value": key}
        elif len(np.unique(values.astype(str))) <= _MOST_VALUES:
            found[slug(name)] = {"label": key}
    return found


def typed(entry: dict[str, Any]) -> Source:
    """Return an entry as its source; one line for each key that is wrong."""
    known = registry()
    if entry["source"] not in known:
        raise CortseqError(
            "no such source", key="source", value=entry["source"], fix=f"one of {', '.join(sorted(known))}"
        )
    try:
        return known[entry["source"]].model_validate(entry)
    except ValidationError as error:
        raise fault(error, entry["source"]) from error


def _cut(raw: xr.Dataset, entry: dict[str, Any], notes: dict[str, str]) -> None:
    """Put windows into the entry of a recording without trials; the default of 5 s may leave too few."""
    if "n_symbols" in raw.attrs:
        if raw.sizes["trial"] == 1 and raw.sizes["time"] > 2 * _LABELS:
            entry["window_events"] = max(min(_LABELS, raw.sizes["time"] // 40), 2)
            notes["window_events"] = "GUESS: one long sequence is cut into windows of so many labels"
        return
    chosen = entry.get("window_ms", 0.0)
    if "trial" in raw.dims or "interval_start" in raw or not isinstance(chosen, float):
        return
    if raw.attrs["form"] == "events":
        span = float(np.ptp(raw["event_time"].values)) if raw.sizes["event"] else 0.0
        width = 0.02
        if entry.get("sampling_rate_hz"):
            span /= entry["sampling_rate_hz"]
    else:
        width = float(raw.attrs["bin_width"])
        span = raw.sizes["time"] * width
    entry["window_ms"], notes["window_ms"] = window_for(span, width)
