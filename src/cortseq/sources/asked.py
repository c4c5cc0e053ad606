"""Everything that an entry asks a file for: the recording, and what its inputs are made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cortseq._lazy import xr
from cortseq.errors import CortseqError
from cortseq.sources import inputs
from cortseq.sources.base import Source
from cortseq.sources.inputs import Input
from cortseq.sources.raw import finite
from cortseq.sources.trials import SECONDS, companion, open_table


def read(source: Source, file: Path | None, seed: int) -> xr.Dataset:
    """Return what `Source.load` gives, and beside it what the inputs of the entry are made of.

    Raises
    ------
    CortseqError : as `Source.load`; no such column, series or file of an input.
    """
    if not source.inputs:
        return source.load(file, seed)
    more = {"covariates": source.covariates | inputs.asked(source.inputs)}
    try:
        raw = source.model_copy(update=more).load(file, seed)
    except CortseqError as error:  # sources name what they read as covariates
        raise CortseqError(str(error).replace(f"covariates.{inputs.PREFIX}", "inputs.")) from error
    for name, one in source.inputs.items():
        if one.path is not None:
            raw = _beside(raw, source, file, name, one)
    return raw


def seconds(source: Source, one: Input) -> float:
    """Return how many seconds the unit of an input's times is."""
    table = getattr(source, "trials", None)
    unit = one.time_unit or getattr(table, "time_unit", None) or getattr(source, "time_unit", "s")
    return SECONDS[str(unit)]


def _beside(raw: xr.Dataset, source: Source, file: Path | None, name: str, one: Input) -> xr.Dataset:
    """Return the raw Dataset with the series or the events of a file beside the recording."""
    key = f"inputs.{name}"
    assert one.path is not None
    home = companion(one.path, file, f"{key}.path")
    table = open_table(home, f"{key}.path")
    column = one.time if one.kind == "series" else one.event
    time = table.squeezed(column, f"{key}.{'time' if one.time else 'event'}")
    time = finite(time, file=home, key=f"{key}: {column}") * seconds(source, one)
    values = np.ones(len(time))
    if one.kind == "series":
        values = table.squeezed(one.series, f"{key}.series")
        table.same_length(values, len(time), f"{key}.series", one.series)
    if (np.diff(time) < 0).any():
        raise CortseqError("time runs backwards", file=home, key=f"{key}.{column}")
    label = inputs.label_of(name, one.kind)
    raw = raw.assign_coords({f"time_{label}": (f"time_{label}", time)})
    return raw.assign({f"series_{label}": (f"time_{label}", values)})
