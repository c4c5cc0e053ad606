"""What of a fit is written to disk: the specification, the arrays it learned, their card and curves."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from cortseq import store
from cortseq._lazy import pd, xr
from cortseq.data import Params
from cortseq.errors import CortseqError
from cortseq.models import shown

if TYPE_CHECKING:
    from cortseq.models.base import Model


@dataclass(frozen=True, repr=False)
class Saved:
    """Abstract: what a fit holds; `cortseq.models.fit.Fit` says what it predicts.

    Attributes
    ----------
    model : the specification.
    params : arrays by name, each with a leading axis of members.
    card : what was fitted to what, for the reader and for checks.
    curves : a row for each epoch of each member; empty where nothing is trained in epochs.
    """

    model: Model
    params: Params
    card: dict[str, Any]
    curves: pd.DataFrame

    def __repr__(self) -> str:
        """Return what it is in a line."""
        return shown.line(self)

    def _repr_html_(self) -> str:
        return shown.html(self)

    def digest(self) -> str:
        """sha256 of the parameters of all members."""
        h = hashlib.sha256()
        for name in sorted(self.params):
            array = np.ascontiguousarray(self.params[name])
            h.update(f"{name} {array.shape} {array.dtype.str}".encode())
            h.update(array.tobytes())
        return h.hexdigest()

    def held_out(self, recording: xr.Dataset) -> np.ndarray:
        """Return the positions (trial,) of all that are neither training nor validation trials of the fit."""
        learned = np.concatenate([self.card["learned_from"][role] for role in ("train", "valid")])
        return np.setdiff1d(np.arange(recording.sizes["trial"]), learned)

    def only(self, member: int) -> Self:
        """Return the fit of one member alone; its curves keep the number that the member has there.

        Raises
        ------
        CortseqError : no such member.
        """
        self._check_member(member)
        params = {name: value[member : member + 1] for name, value in self.params.items()}
        numbers = np.unique(self.curves["member"])  # those of members that did not fail
        own = self.curves["member"] == numbers[member] if len(numbers) else slice(0)
        return replace(self, params=params, card=self.card | {"members": 1}, curves=self.curves[own])

    def _check_member(self, member: int) -> None:
        n = len(next(iter(self.params.values())))
        if member not in range(n):
            who = f"the fit has {n} member{'s' * (n > 1)}, 0 to {n - 1}"
            raise CortseqError(who, key="member", value=member)

    def save(self, path: str | Path) -> None:
        """Write `path`.safetensors (suffix optional), and beside it the card .json and curves .parquet."""
        from safetensors.numpy import save_file

        path = store.safetensors_path(path)
        arrays = {name: np.ascontiguousarray(np.asarray(value)) for name, value in self.params.items()}
        with store.atomic(path) as temporary:
            save_file(arrays, temporary)
        store.write_json(self.card, path.with_suffix(".json"))
        store.write_table(self.curves, path.with_suffix(".parquet"))
