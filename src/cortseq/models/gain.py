"""The score of a fit from Python: how much better it predicts than the null of its training trials."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cortseq._lazy import xr
from cortseq.data import Data, Trials
from cortseq.errors import CortseqError
from cortseq.observations import emission_of

if TYPE_CHECKING:
    from cortseq.models.fit import Fit


def over_null(fit: Fit, recording: xr.Dataset, trials: Trials = None, null: Fit | None = None) -> float:
    """Return the gain of a fit over the null, mean over members; arguments as of `Fit.score`."""
    if trials is None and null is None:
        trials = fit.held_out(recording)
    data = Data.of(recording, trials, driven=False)
    n_events = data.n_events().sum()
    if not n_events:
        raise CortseqError("the trials hold nothing to score", key="trials", fix="choose other trials")
    nats = np.nansum(fit.log_prob(recording, trials).values.mean(0))
    base = (
        _constant(fit, recording, data) if null is None else null.log_prob(recording, trials).values.mean(0)
    )
    return float((nats - np.nansum(base)) / (n_events * data.kind.unit_nats))


def _constant(fit: Fit, recording: xr.Dataset, data: Data) -> np.ndarray:
    """Return the nats (trial, time) that the constant prediction of the training trials gives `data`."""
    positions, known = fit.card["learned_from"]["train"], fit.card["learned_sha256"]["train"]
    held = max(positions) < recording.sizes["trial"]
    if not held or fit.model.given(recording, positions).digest() != known:
        raise CortseqError(
            "the recording does not hold the trials that the fit learned from, so its null is not known",
            key="recording",
            fix="give that recording, or null=cortseq.models.Null().fit(recording, train, valid)",
        )
    train = Data.of(recording, positions, driven=False).learnable()
    emission = emission_of(train)
    seen = data.within(train.support)
    return data.masked(emission.log_prob(emission.estimate(train.y, train.valid), seen.y))
