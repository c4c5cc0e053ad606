"""Recorded inputs in the units that models see: standardised on training trials, missing values told."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cortseq.data import Data
from cortseq.errors import CortseqError


@dataclass(frozen=True)
class Scale:
    """What is taken off each input and what it is divided by, and which of them may be missing.

    An input u becomes (u - mean) / sd, of the valid bins of training trials where it is known; 0 where it is
    missing. One that is 0 or 1 in all of them stays as it is. Where an input is missing in training trials,
    one more input is 1 wherever it is missing.

    Attributes
    ----------
    mean, sd : one number per input.
    missing : whether an input has such a companion.
    """

    mean: tuple[float, ...]
    sd: tuple[float, ...]
    missing: tuple[bool, ...]

    @classmethod
    def of(cls, train: Data) -> Scale:
        """Measure training trials."""
        if train.inputs is None:
            return cls((), (), ())
        seen = train.inputs[train.valid]
        known = np.isfinite(seen)
        columns = [column[there] for column, there in zip(seen.T, known.T, strict=True)]
        plain = [not len(c) or bool(np.isin(c, (0, 1)).all()) for c in columns]
        mean = [0.0 if p else float(c.mean()) for c, p in zip(columns, plain, strict=True)]
        spread = [1.0 if p else float(c.std()) for c, p in zip(columns, plain, strict=True)]
        return cls(tuple(mean), tuple(s or 1.0 for s in spread), tuple((~known.all(0)).tolist()))

    @classmethod
    def known(cls, card: dict[str, Any]) -> Scale:
        """Return that of a fit, by its card; of a fit without one inputs are seen as they are."""
        kept = card.get("input_scale")
        if kept is None:
            n = card.get("n_inputs", 0)
            return cls((0.0,) * n, (1.0,) * n, (False,) * n)
        return cls(*(tuple(kept[key]) for key in ("mean", "sd", "missing")))

    def card(self) -> dict[str, Any]:
        """Return what a card keeps: nothing without inputs."""
        return {"input_scale": {k: list(v) for k, v in asdict(self).items()}} if self.mean else {}

    def applied(self, data: Data) -> Data:
        """Return the data with its inputs as models see them.

        Raises
        ------
        CortseqError : more or fewer inputs than were measured.
        """
        if data.n_inputs != len(self.mean):
            raise CortseqError(
                f"the fit is for {len(self.mean)} inputs",
                key="inputs",
                value=data.n_inputs,
                fix="score the recording with the inputs it was fitted with",
            )
        return data if data.inputs is None else replace(data, inputs=self.seen(data.inputs))

    def seen(self, inputs: ArrayLike) -> np.ndarray:
        """Return inputs (..., input) in their own units as models see them, (..., seen)."""
        given = np.asarray(inputs, float)
        unknown = ~np.isfinite(given)
        scaled = np.where(unknown, 0.0, (given - np.array(self.mean)) / np.array(self.sd))
        return np.concatenate([scaled, unknown[..., list(self.missing)].astype(float)], -1)

    def replayed(self, inputs: ArrayLike | None, shape: tuple[int, int]) -> np.ndarray | None:
        """Return inputs that a free run replays as models see them, (trial, time, seen); None without any.

        Raises
        ------
        CortseqError : none for a model that sees inputs, another shape, inputs for a model that sees none.
        """
        wanted = (*shape, len(self.mean))
        if inputs is None and not self.mean:
            return None
        if inputs is None or np.shape(inputs) != wanted:
            raise CortseqError(
                f"a free run replays inputs (trial, time, input) {wanted}",
                key="inputs",
                value=None if inputs is None else np.shape(inputs),
                fix="give those of a recording" if self.mean else "leave them out",
            )
        return self.seen(inputs)
