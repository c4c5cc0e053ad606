"""The three kinds of recordings and all that depends on the kind: ask a `Track`, never compare its name.

A bin of counts holds events of several units, a bin of symbols one label of an alphabet, a bin of a signal
one real number per channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cortseq.metrics import METRICS


@dataclass(frozen=True)
class Track:
    """One kind of recording.

    Attributes
    ----------
    name : the variable that holds it in a Recording.
    dimension : of the features of a bin, "unit" or "channel"; None where a bin is one label.
    feature : what a feature is called in a sentence.
    default : the observation model where a study names none.
    metric : of the score, a key of `METRICS`.
    step : what a bin is called in a sentence.
    words : what the recording is called in a report.
    """

    name: str
    dimension: str | None
    feature: str
    default: str
    metric: str
    step: str
    words: str

    has_events: bool = False  # a bin holds a number of events, each of which is worth a share of the score
    has_labels: bool = False  # a bin is one label: no scale, no clock, no features that can be left out
    has_scale: bool = False  # values have a unit of their own, and are standardised

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimensions of the recorded variable."""
        return ("trial", "time") + ((self.dimension,) if self.dimension else ())

    @property
    def unit_nats(self) -> float:
        """Nats in one unit of the metric: ln 2 for bits."""
        return METRICS[self.metric].nats

    @property
    def timed(self) -> bool:
        """Whether a bin has a width in seconds."""
        return not self.has_labels

    def n_features(self, y: np.ndarray, n_symbols: int) -> int:
        """Return the number of features of y (trial, time, feature), or of labels (trial, time)."""
        return int(n_symbols if self.has_labels else y.shape[2])

    def n_events(self, y: np.ndarray, counted: np.ndarray) -> np.ndarray:
        """Return the events that scores are divided by, (trial, time): spikes, or 1 for a label or sample."""
        if not self.has_events:
            return counted.astype(int)
        total = y.sum(-1)
        return np.where(counted, total.astype(int) if total.dtype.kind == "u" else total, 0)

    def encoded(self, y: np.ndarray, n_features: int) -> np.ndarray:
        """Return labels one-hot, (..., label); counts and signals as they are, (..., feature)."""
        return np.eye(n_features)[y.astype(int)] if self.has_labels else y

    def rooted(self, y: np.ndarray) -> np.ndarray:
        """Return square roots of counts (..., unit), whose noise does not grow with the rate; else y."""
        return np.sqrt(y) if self.has_events else y

    def perturbed(self, y: np.ndarray, n_symbols: int, rng: np.random.Generator) -> np.ndarray:
        """Return y (trial, time, feature) or labels (trial, time) with another value in every bin."""
        if self.has_events:
            return y + rng.integers(1, 4, y.shape)
        if self.has_labels:
            return (y + rng.integers(1, n_symbols, y.shape)) % n_symbols if n_symbols > 1 else y
        return y + rng.normal(0, 1 + np.abs(y).mean(), y.shape)

    def noise(
        self, seen: np.ndarray, shape: tuple[int, int], most: int, n_symbols: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw independent bins with the marginals of a recording.

        Parameters
        ----------
        seen : (bin, feature) valid bins, or (bin,) labels.
        shape : trials and bins.
        most : features at most, those of the largest means.
        n_symbols : labels of the alphabet.

        Returns
        -------
        (trial, time, feature) Poisson counts or Gaussian samples, (trial, time) labels.
        """
        if self.has_labels:
            return rng.choice(n_symbols, shape, p=np.bincount(seen, minlength=n_symbols) / len(seen))
        mean = seen.mean(0)
        few = np.argsort(-mean)[:most]
        if self.has_events:
            return rng.poisson(np.maximum(mean[few], 0.05), (*shape, len(few)))
        return rng.normal(mean[few], seen.std(0)[few], (*shape, len(few)))

    def blank(self, n_trials: int, n_features: int) -> np.ndarray:
        """Return one empty bin of every trial, (trial,) for labels, else (trial, feature)."""
        return np.zeros(n_trials if self.has_labels else (n_trials, n_features))

    def columns(self, y: np.ndarray) -> np.ndarray:
        """Return y with an axis of features: (trial, time, 1) for labels."""
        return y[..., None] if self.has_labels else y

    def choose(self, *, counts: Any, symbols: Any, signal: Any) -> Any:
        """Return the value for this track; for what only one caller knows."""
        return {"counts": counts, "symbols": symbols, "signal": signal}[self.name]


TRACKS = {
    track.name: track
    for track in (
        Track(
            "counts", "unit", "unit", "poisson", "bits_per_spike", "bin", "spike counts",
            has_events=True,
        ),
        Track(
            "symbols", None, "label", "categorical", "bits_per_symbol", "symbol",
            "sequences of symbols", has_labels=True,
        ),
        Track(
            "signal", "channel", "channel", "gaussian", "nats_per_sample", "bin", "continuous signals",
            has_scale=True,
        ),
    )
}  # fmt: skip
