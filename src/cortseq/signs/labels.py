"""Signs of the wrong column: labels that are no labels, and lines that are no sequences."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from cortseq._lazy import xr
from cortseq.signs.base import Sign
from cortseq.sources.base import Source

MOST = 1000  # labels
ONCE = 0.5  # share of the labels that occur once
DECIMAL = re.compile(r"[+-]?\d*[.,]\d+([eE][+-]?\d+)?")
FILE = re.compile(
    r".+\.(wav|mp3|flac|csv|txt|tsv|mat|npz?|xml|json|avi|mp4|mov|tif{1,2}|h5|hdf5|nwb|png|jpe?g)", re.I
)
BLANK = {"nan", "na", "n/a", "none", "null", "-1", "?", "-", "unknown", "unlabeled", "unlabelled", "missing"}
_COLUMNS = "name the column of the labels with label:, and that of the sequence with group_by:"


def of_labels(raw: xr.Dataset, source: Source) -> Iterator[Sign]:
    """Yield the signs of raw symbols (sequence, label), whose names are in the attribute `labels`."""
    valid = raw["valid"].values
    names = [str(name) for name in raw.attrs.get("labels", [])]
    if not names:
        return
    counts = np.bincount(raw["symbols"].values[valid], minlength=len(names))
    lengths = valid.sum(1)
    yield from _wrong_column(names, counts)
    yield from _sequences(raw, names, lengths, source)
    blank = [name for name in names if name.strip().lower() in BLANK]
    if blank:
        text = f"{', '.join(map(repr, blank))} is read as a label like any other"
        yield Sign("missing_labels", text, "if it means that there is none, name it in missing:", "warn")


def _wrong_column(names: list[str], counts: np.ndarray) -> Iterator[Sign]:
    known = [name for name, n in zip(names, counts, strict=True) if n]
    if len(names) > MOST:
        yield Sign("labels", f"{len(names)} different labels, more than {MOST}", _COLUMNS)
        return
    files = [name for name in known if FILE.fullmatch(name)]
    decimals = [name for name in known if DECIMAL.fullmatch(name)]
    if files:
        yield Sign("labels", f"{len(files)} labels are file names, such as {files[0]!r}", _COLUMNS)
    elif decimals:
        text = f"{len(decimals)} labels are numbers with decimals, such as {decimals[0]!r}"
        yield Sign("labels", text, f"read numbers with content: signal or spikes, or {_COLUMNS}")
    elif len(known) > 4 and (counts == 1).sum() > ONCE * len(known):
        text = f"{int((counts == 1).sum())} of {len(known)} labels occur once"
        yield Sign("labels", text, _COLUMNS)


def _sequences(raw: xr.Dataset, names: list[str], lengths: np.ndarray, source: Source) -> Iterator[Sign]:
    if source.window_events:
        return
    fix = "cut windows of it with window_events:"
    if lengths.max() == 1:
        text = (
            f"all {len(lengths)} sequences have one label: a label per line is one record, not many sequences"
        )
        yield Sign(
            "sequences", text, f"{fix} (a number of labels), or join the lines of a sequence with group_by:"
        )
    elif len(lengths) == 1:
        yield Sign("sequences", f"there is one sequence, of {lengths[0]} labels", fix)
    else:
        alone = _alone(raw, lengths)
        if alone:
            which = ", ".join(repr(names[i]) for i in alone[:3])
            text = f"{which} is the only label of its sequence and occurs in no longer one: a heading?"
            yield Sign("headings", text, "leave such lines out with skip_lines: or as comments (#)")


def _alone(raw: xr.Dataset, lengths: np.ndarray) -> list[int]:
    """Return the labels that occur in sequences of one label only."""
    values, valid = raw["symbols"].values, raw["valid"].values
    single = lengths == 1
    if not single.any():
        return []
    within = set(values[~single][valid[~single]].tolist())
    return sorted(set(values[single][valid[single]].tolist()) - within)
