"""One NumPy array in a file: counts, a signal, or spike times of one unit."""

from __future__ import annotations

from typing import ClassVar, Literal

from cortseq.sources.npz import Npz


class Npy(Npz):
    """`source: npy`: a file written by `np.save`; its one array is called `array`.

    `signal: array`, `counts: array` (with `axes`) or `spike_times: array` says what it holds.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".npy",)

    source: Literal["npy"] = "npy"  # type: ignore[assignment]


SOURCE = Npy
