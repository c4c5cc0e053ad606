"""Whether arrays and labels fit each other, before a Recording is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cortseq.errors import CortseqError
from cortseq.observations import tracks

# Names of variables and dimensions, which no label can have.
OWN_NAMES = frozenset("trial time unit channel input counts symbols signal valid inputs".split())


def arrays(kind: str, values: ArrayLike, valid: ArrayLike | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Return values (trial, time, feature) and the mask (trial, time), or an error where a shape is wrong."""
    dims, values = tracks.TRACKS[kind].dims, np.asarray(values)
    if values.ndim != 3:
        raise CortseqError(
            f"the dimensions are {', '.join(dims)}",
            key=kind,
            value=values.shape,
            fix="give an axis of length 1 to what has only one",
        )
    if valid is None:
        return values, None
    valid = np.asarray(valid, bool)
    if valid.shape != values.shape[:2]:
        raise CortseqError(f"a mask is (trial, time) {values.shape[:2]}", key="valid", value=valid.shape)
    return values, valid


def check_labels(
    kind: str, shape: tuple[int, ...], covariates: Mapping[str, Any], coords: Mapping[str, Any]
) -> None:
    """Raise a CortseqError for labels that do not fit values of `shape`, or that would replace others."""
    known = tracks.TRACKS[kind]
    for name, values in covariates.items():
        if name in OWN_NAMES or name in coords:
            raise CortseqError(
                "a Recording has this name for itself",
                key="covariates",
                value=name,
                fix="give the covariate another name",
            )
        if np.shape(values) not in (shape[:1], shape[:2]):
            raise CortseqError(
                f"a covariate is (trial,) {shape[:1]} or (trial, time) {shape[:2]}",
                key=name,
                value=np.shape(values),
            )
    for name in coords:
        if name in OWN_NAMES and name != known.dimension:
            raise CortseqError(
                "a Recording has this name for itself",
                key="coords",
                value=name,
                fix="give the label another name",
            )
    if known.dimension and np.shape(coords[known.dimension]) != shape[2:]:
        raise CortseqError(
            f"there is one name for each of {shape[2]} {known.dimension}s",
            key=f"{known.dimension}_names",
            value=np.shape(coords[known.dimension]),
        )
