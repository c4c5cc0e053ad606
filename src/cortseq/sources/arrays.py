"""A source of named arrays: one of them holds spikes, counts, a signal or symbols."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from cortseq._lazy import xr
from cortseq.sources.archive import Archive
from cortseq.sources.array_dense import ArrayDense
from cortseq.sources.array_spikes import ArraySpikes
from cortseq.sources.sequences import sequences_dataset

_FORMS = ("spike_times", "counts", "signal", "symbols")
_BELONGS = {
    "spike_trials": "spike_times",
    "spike_units": "spike_times",
    "spike_numbers": "spike_times",
    "spike_index": "spike_times",
    "trials": "spike_times",
    "symbol_sequences": "symbols",
}


class ArraySource(ArraySpikes, ArrayDense):
    """Exactly one of `spike_times`, `counts`, `signal` and `symbols` names an array of the file.

    With `spike_trials`, a table of `trials` or an axis `trial` the recording has trials and covariates have
    one value per trial; without, it is continuous and covariates are series along `time`. Spikes of all units
    in a row are cut by `spike_numbers` (how many each unit has) or `spike_index` (where each unit's end).
    """

    symbols: str | None = Field(
        None, description="key: labels in a row, or `*/key`: one sequence in each group"
    )
    symbol_sequences: str | None = Field(None, description="key: the sequence of each label")

    @property
    def track(self) -> Literal["counts", "symbols", "signal"]:
        """Track of the recording: counts, symbols or signal."""
        return "symbols" if self.symbols else "signal" if self.signal else "counts"

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        given = [k for k in _FORMS if getattr(self, k)]
        if len(given) != 1:
            raise ValueError(f"names {given or 'none'} of {', '.join(_FORMS)} -- give exactly one")
        for key, form in _BELONGS.items():
            if getattr(self, key) is not None and given != [form]:
                raise ValueError(f"{key}: belongs to {form} -- remove it")
        ways = [k for k in ("spike_units", "spike_numbers", "spike_index") if getattr(self, k)]
        if len(ways) > 1:
            raise ValueError(f"{ways[1]}: says the same as {ways[0]} -- give one of them")
        self._check_dense()
        return self

    def archive(self, file: Path | None) -> Archive:
        """Return the opened file."""
        raise NotImplementedError

    def load(self, file: Path | None, seed: int) -> xr.Dataset:
        """Read the file into a raw Dataset; see `Source.load`."""
        archive = self.archive(file)
        if self.symbols:
            return self._load_symbols(archive)
        if not self.spike_times:
            return self._load_dense(archive)
        return self.with_trials(self._load_spikes(archive), file)

    def _load_symbols(self, archive: Archive) -> xr.Dataset:
        if self.symbols and "*" in self.symbols:
            sequences = archive.every(self.symbols, "symbols")
        else:
            labels = archive.squeezed(str(self.symbols), "symbols")
            sequences = [labels]
            if self.symbol_sequences:
                number = archive.squeezed(self.symbol_sequences, "symbol_sequences")
                archive.same_length(number, len(labels), "symbol_sequences", self.symbol_sequences)
                first = np.sort(np.unique(number, return_index=True)[1])
                sequences = [labels[number == number[i]] for i in first]
        return sequences_dataset(sequences, file=archive.file, key=f"symbols: {self.symbols}")
