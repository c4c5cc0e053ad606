"""Conditions of trials: which covariates make them, and a number for each that any fit can hold."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

FEWEST = 3  # trials per value of a covariate, on average, for its values to be conditions


def candidates(labels: dict[str, np.ndarray]) -> list[list[str]]:
    """Return the sets of covariates whose values may be conditions: each alone, and all together.

    A set is left out where all trials are alike, or where there are fewer than FEWEST trials per condition.

    Parameters
    ----------
    labels : values of each covariate as text, each (trial,).
    """
    alone = [[name] for name in labels if _tell_apart(labels, [name])]
    together = [name for names in alone for name in names]
    return alone + ([together] if len(alone) > 1 and _tell_apart(labels, together) else [])


def _tell_apart(labels: dict[str, np.ndarray], names: list[str]) -> bool:
    key = keys(labels, names)
    return bool(1 < len(np.unique(key)) <= len(key) / FEWEST)


def keys(labels: dict[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
    """Return a number for the values of the named covariates of each trial, (trial,) int64.

    Fits hold numbers only. A digest of the words is the same number in every fit and every recording.
    """
    columns = [np.char.add(f"{name}=", labels[name]) for name in sorted(names)]
    words = ["\x1f".join(trial) for trial in zip(*columns, strict=True)]
    known = {word: hashed(word) for word in dict.fromkeys(words)}
    return np.array([known[word] for word in words], np.int64)


def hashed(word: str) -> int:
    """Return a digest of a word that fits into 64 bits with a sign."""
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big", signed=True)
