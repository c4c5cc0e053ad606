"""What a model learns from in one recording, and what the card of its fit says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq import memory
from cortseq import recording as rec
from cortseq._lazy import xr
from cortseq.data import Data
from cortseq.errors import CortseqError
from cortseq.models.learning import Learned
from cortseq.scaling import Scale

if TYPE_CHECKING:
    from cortseq.models.base import Fit, Model


@dataclass(frozen=True)
class Prepared:
    """The trials of both roles as a model sees them, checked.

    Attributes
    ----------
    model : the specification.
    roles : positions of the trials of "train" and "valid".
    raw, seen : Data of both roles, inputs in their own units and as the model sees them.
    scale : what standardises the inputs.
    shape : what the card says of the recording and of the members.
    """

    model: Model
    roles: dict[str, list[int]]
    raw: tuple[Data, Data]
    seen: tuple[Data, Data]
    scale: Scale
    shape: dict[str, Any]

    @classmethod
    def of(
        cls, model: Model, recording: xr.Dataset, train: Sequence[int], valid: Sequence[int], members: int
    ) -> Prepared:
        """Take the trials of a Recording at the positions `train` and `valid`.

        Raises
        ------
        CortseqError : no training or validation trial, or none with an observed bin; a trial in both roles;
        what is no position of a trial; a recording that the model cannot be fitted to, or that does not fit
        into memory.
        """
        learns = rec.positions(recording, train, "train")
        chooses = rec.positions(recording, valid, "valid")
        if not len(learns) or not len(chooses):
            raise CortseqError(
                f"{model.family} needs at least one training and one validation trial", key="train, valid"
            )
        if (twice := np.intersect1d(learns, chooses)).size:
            raise CortseqError("a trial is in both train and valid", key="valid", value=int(twice[0]))
        if not (model.blockwise and rec.kind(recording).has_events):
            per_trial = recording[rec.kind(recording).name].size / recording.sizes["trial"]
            memory.learnable_whole((len(learns) + len(chooses)) * per_trial, model.family)
        raw = model.given(recording, learns), model.given(recording, chooses)
        for key, data in zip(("train", "valid"), raw, strict=True):
            if not data.valid.any() and (key == "train" or model.chooses):
                raise CortseqError(
                    "no bin of these trials was observed", key=key, fix="choose trials with an observed bin"
                )
        model.check(raw[0])
        scale = Scale.of(raw[0])
        learned_on = scale.applied(raw[0]).learnable()
        seen = learned_on, scale.applied(raw[1]).within(learned_on.support)
        shape = _shape(learned_on, rec.features(recording), members if model.has_members else 1)
        return cls(model, {"train": learns.tolist(), "valid": chooses.tolist()}, raw, seen, scale, shape)

    def card(self, learned: Learned, seed: int, start: Fit | None) -> dict[str, Any]:
        """Return the card of the fit; `start`: the earlier fit that it began with."""
        return {
            "model": self.model.model_dump(mode="json"),
            "role": self.model.role,
            **self.shape,
            **({"input_mean": self.seen[0].input_mean()} if self.scale.mean else {}),
            **self.scale.card(),
            "parameters": int(learned.n_parameters),
            "seed": seed,
            "learned_from": self.roles,
            "learned_sha256": {role: data.digest() for role, data in zip(self.roles, self.raw, strict=True)},
            **({} if start is None else {"started_from": start.digest()}),
            **({"sees": list(self.model.sees)} if self.model.sees else {}),
            **learned.card,
        }


def _shape(train: Data, features: list[str], members: int) -> dict[str, Any]:
    """Return what a card says of the recording and of the members."""
    return {
        "track": train.track,
        "observation": train.observation,
        "support": train.support,
        "n_features": train.n_features,
        "features": features,
        "n_inputs": train.n_inputs,
        "bin_width": train.bin_width,
        "members": members,
    }
