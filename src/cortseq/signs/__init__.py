"""Signs that a recording was misread: one function a sign, each with its sentence.

`cortseq check` prints them. A refused one ends a study before it is fitted; the report repeats the others.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cortseq import recording as rec
from cortseq._lazy import xr
from cortseq.signs import labels, samples, times
from cortseq.signs.base import Sign, accepted, from_json, to_json
from cortseq.signs.trials import of_roles, of_trials
from cortseq.sources.base import Source

_OF_SAMPLES = {"symbols": labels.of_labels, "counts": samples.of_samples, "signal": samples.of_samples}


def of_raw(raw: xr.Dataset, source: Source, spans: np.ndarray | None) -> Iterator[Sign]:
    """Yield the signs of a prepared raw Dataset, before any array of bins is made.

    Parameters
    ----------
    raw : raw Dataset (`cortseq.sources.base`) as `preprocess.prepared` returns it.
    source : its entry.
    spans : (trial, 2) starts and stops in s of trials on the clock of the spikes; None without a trial table.
    """
    yield from samples.of_padding(raw)
    yield from samples.of_names(raw)
    if raw.attrs["form"] == "events":
        yield from times.of_events(raw, source, spans)
    else:
        yield from _OF_SAMPLES[rec.track(raw)](raw, source)


def of(recording: xr.Dataset) -> list[Sign]:
    """Return the signs that a Recording carries."""
    return from_json(recording.attrs.get("signs", "[]"))


__all__ = ["Sign", "accepted", "from_json", "of", "of_raw", "of_roles", "of_trials", "times", "to_json"]
