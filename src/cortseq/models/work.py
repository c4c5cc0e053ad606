"""How much arithmetic a fit takes, growing with its sizes; `cortseq.costs` has the seconds of each kind."""

from __future__ import annotations

from dataclasses import dataclass

Work = dict[str, float]  # name of a kind of arithmetic -> how often it is done


@dataclass(frozen=True)
class Size:
    """Sizes of one fit.

    Attributes
    ----------
    track : "counts", "symbols" or "signal".
    train : trials that are learned from.
    valid : trials on which choices are made.
    bins : of the longest trial.
    features : units, channels or labels.
    members : random restarts.
    test : trials that are scored.
    """

    track: str
    train: int
    valid: int
    bins: int
    features: int
    members: int = 1
    test: int = 0

    @property
    def learned(self) -> int:
        """Training bins of all trials."""
        return self.train * self.bins

    @property
    def passed(self) -> float:
        """Training and validation bins of one epoch; a validation bin costs about a third: no gradient."""
        return (self.train + self.valid / 3) * self.bins

    @property
    def cells(self) -> float:
        """Bins times features of all trials."""
        return float((self.train + self.valid + self.test) * self.bins * self.features)
