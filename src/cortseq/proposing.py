"""An entry for a file that nobody has described: proposals are tried until one gives a recording."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import yaml

from cortseq import preprocess, splits
from cortseq.entries import slug
from cortseq.errors import CortseqError
from cortseq.sources import registry
from cortseq.sources.base import Proposal, Source
from cortseq.sources.guesses import window_for

_LABELS = 50  # labels per window of one long sequence


@dataclass
class Draft:
    """An entry that was tried on its file.

    Attributes
    ----------
    name : of the dataset.
    entry : its keys, `path` as given.
    notes : key -> remark that stands behind it as a comment.
    recording : what it gives.
    """

    name: str
    entry: dict[str, Any]
    notes: dict[str, str] = field(default_factory=dict)
    recording: xr.Dataset | None = None

    def lines(self, path: str | None = None) -> list[str]:
        """Return the entry as lines of YAML, to stand under `datasets:`."""
        shown = {**self.entry, "path": path or self.entry["path"]}
        found = [f"  {self.name}:"]
        for key, value in shown.items():
            remark = f"  # {self.notes[key]}" if key in self.notes else ""
            found.append(f"    {key}: {_flow(value)}{remark}")
        return found


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10**9, sort_keys=False, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def candidates(path: Path) -> list[type[Source]]:
    """Return the sources that may read a file by its suffix, or a folder by the names in it."""
    found = registry().values()
    if path.is_dir():
        return [
            s for s in found if any(True for pattern in s.parts for _ in path.glob(pattern)) or _own(s, path)
        ]
    return [s for s in found if path.suffix.lower() in s.suffixes]


def _own(source: type[Source], path: Path) -> bool:
    names = getattr(source, "zarr", ())
    return any((path / name).is_file() for name in names)


def draft(path: Path) -> Draft:
    """Return an entry that reads the file and gives a recording that can be split.

    Raises
    ------
    CortseqError : no source reads such a file, or all that is proposed is refused (the likeliest's reason).
    """
    proposals: list[Proposal] = []
    reasons: list[str] = []  # of the proposals, the likeliest first, then of sources that had none
    silent: list[str] = []
    for source in candidates(path):
        try:
            with _quiet():
                proposals += source.propose(path)
        except CortseqError as error:
            silent.append(str(error).splitlines()[0])
    for proposal in sorted(proposals, key=lambda p: -p.sure):
        try:
            with _quiet():
                return _settled(path, proposal)
        except CortseqError as error:
            reasons.append(str(error).splitlines()[0])
    why = next(iter([*reasons, *silent]), "no source knows what the file may be")
    home = None if str(path) in why else path
    raise CortseqError(why, file=home, fix=None if " -- " in why else "write an entry by hand")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _settled(path: Path, proposal: Proposal) -> Draft:
    """Return a proposal with bins and windows that fit the file, after it was loaded, cut and split."""
    entry, notes = dict(proposal.entry), dict(proposal.notes)
    entry = {"source": entry.pop("source"), "path": str(path), **entry}
    raw = _typed(entry).load(path, 0)
    _cut(raw, entry, notes)
    source = _typed(entry)
    recording = preprocess.judged(raw, source)
    splits.split(recording, splits.Deal(seed=0, folds=1), source, "dataset")
    name = slug(path.name.split(".")[0])
    return Draft(name if name[:1].isalpha() else f"d_{name}".rstrip("_"), entry, notes, recording)


def _typed(entry: dict[str, Any]) -> Source:
    try:
        return registry()[entry["source"]].model_validate(entry)
    except ValueError as error:
        raise CortseqError(" ".join(str(error).split())[:200], key=entry["source"]) from error


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


# -- a study -----------------------------------------------------------------------------------------


def study(paths: list[Path], out: Path) -> str:
    """Return the text of a study of the files, one dataset each; paths are relative to the study's folder.

    Parameters
    ----------
    paths : recordings, files or folders.
    out : where the study is to be written.

    Raises
    ------
    CortseqError : a file for which no entry is found, one line each.
    """
    drafts, faults = [], []
    for path in paths:
        if not path.exists():
            faults.append(str(CortseqError("no such file", file=path, fix="check the path")))
            continue
        try:
            drafts.append(draft(path))
        except CortseqError as error:
            faults += str(error).splitlines()
    if faults:
        raise CortseqError("\n".join(faults))
    lines = [*_HEAD.format(name=slug(out.stem) or "mine").splitlines(), "datasets:"]
    names: set[str] = set()
    for found in drafts:
        base, number = found.name, 2
        while found.name in names:
            found.name, number = f"{base}_{number}", number + 1
        names.add(found.name)
        lines += [f"  # {text}" for text in _described(found)]
        lines += found.lines(os.path.relpath(found.entry["path"], out.parent))
    return "\n".join([*lines, *_TAIL.splitlines()]) + "\n"


def _described(found: Draft) -> list[str]:
    recording = found.recording
    assert recording is not None
    sizes = ", ".join(
        f"{n} {name}s" for name, n in recording.sizes.items() if name in ("trial", "unit", "channel")
    )
    bins = f"{recording.sizes['time']} bins of {1e3 * recording.attrs['bin_width']:g} ms at most"
    return [
        f"{sizes}, {bins}"
        if "n_symbols" not in recording.attrs
        else f"{recording.sizes['trial']} sequences of labels"
    ]


_HEAD = """\
# Written by `cortseq new`. GUESS marks what the files do not say: correct it where you know better.
# `cortseq check` says what is read and what is odd; then run it.
study: {name}
seed: 0
folds: 1      # k > 1: every trial is tested once
members: 3    # random restarts of every network"""

_TAIL = """\
# models: left out, the standard set is compared: PSTH, Markov chains, HMM, GLM, networks.
# models:
#   markov: {family: markov, states: [8, 16], order: [1, 2]}
#   rate: {family: rate, hidden: 64}"""
