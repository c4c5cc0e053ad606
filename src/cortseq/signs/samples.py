"""Signs of samples and names: clocks among the channels, padding, two things of one name."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from cortseq._lazy import xr
from cortseq.signs.base import Sign
from cortseq.sources.base import Source
from cortseq.sources.raw import steps

_SAID = {
    "spikes_padding": "{} entries of rectangular tables of spike times are padding, no spikes",
    "spike_times_nan": "{} spike times are NaN (padding of tables) and were left out",
    "bins_padding": "{} bins are NaN in all units (padding, or missing) and are masked",
    "trial_numbers_unused": "{} trial numbers have no spike: no trial is made of them",
    "decimal_commas": "{} numbers were read with a decimal comma",
    "comment_lines": "{} lines that begin with # were read as comments",
    "labels_missing": "{} labels are missing inside sequences: masked, their neighbours are not joined",
}


def of_padding(raw: xr.Dataset) -> Iterator[Sign]:
    """Yield what a source took as padding, comments or gaps."""
    found = json.loads(raw.attrs.get("dirt", "{}"))
    for key, sentence in _SAID.items():
        if found.get(key):
            yield Sign(key, sentence.format(found[key]), "", "note")


def of_samples(raw: xr.Dataset, source: Source) -> Iterator[Sign]:
    """Yield the signs of raw counts or signals."""
    clocks = json.loads(raw.attrs.get("clocks", "[]"))
    if clocks:
        text = f"channel {', '.join(clocks)} rises by a constant step: it is a clock, and was left out"
        yield Sign("clock_channel", text, "", "warn")
    if "unit" in raw.dims and raw.sizes["time"] > 50:
        found = steps(raw, "counts")
        rising = np.flatnonzero((found > 0).all(0)) if len(found) else np.empty(0, int)
        if len(rising):
            names = raw["unit"].values[rising].astype(str).tolist()
            text = f"unit {', '.join(names)} rises from each bin to the next: a clock, or cumulated counts"
            yield Sign("clock_channel", text, "leave it out of the file, or with select:")


def of_names(raw: xr.Dataset) -> Iterator[Sign]:
    """Yield units or channels that share a name."""
    for feature in ("unit", "channel"):
        if feature not in raw.coords:
            continue
        names, counts = np.unique(raw[feature].values.astype(str), return_counts=True)
        if (counts > 1).any():
            text = (
                f"{int((counts > 1).sum())} names of {feature}s occur twice, such as {names[counts > 1][0]!r}"
            )
            yield Sign("same_name", text, "give each a name of its own")
