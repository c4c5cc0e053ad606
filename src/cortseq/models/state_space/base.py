"""What linear and switching linear dynamical systems share: settings, what they describe, their read-out."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from cortseq.data import Data, Params
from cortseq.errors import CortseqError
from cortseq.models.base import Model
from cortseq.models.state_space.counts import Counts
from cortseq.models.state_space.readout import Readout
from cortseq.models.state_space.signals import Signals
from cortseq.observations import TRACKS, emission_of

COMMON = ("centre", "scale", "skip", "points")  # measured or chosen, not learned by EM


class StateSpace(Model):
    """Abstract: a Gaussian latent that is seen through counts or signals."""

    role: ClassVar = "baseline"
    rung: ClassVar = "L3'"
    driven: ClassVar = True
    replays: ClassVar = True
    idle: ClassVar = {"counts": ("skip",)}
    called: ClassVar[str]

    latents: Annotated[int, Field(ge=1, le=256)] = Field(8, description="dimensions of the latent")
    skip: bool = Field(True, description="signals: each channel is predicted from its own bin before, too")
    inputs: bool = Field(True, description="whether the model sees the inputs that a recording has")
    prior: Annotated[float, Field(gt=0)] = Field(1.0, description="bins' worth of the priors")
    iterations: Annotated[int, Field(ge=1)] = Field(200, description="of EM, at most")
    patience: Annotated[int, Field(ge=1)] = Field(
        10, description="iterations in which validation gains less than 1e-4 nats per event"
    )

    def applies(self, track: str) -> bool:
        """Return whether a track is counts or signals: labels are not drawn from a linear read-out here."""
        return not TRACKS[track].has_labels

    def check(self, data: Data) -> None:
        """Raise a CortseqError for labels, and for counts whose likelihood is a search for every mean."""
        if not self.applies(data.track):
            raise CortseqError(
                f"{self.called} describes counts and signals, not labels",
                key="family",
                value=self.family,
                fix="use hmm, which has a latent state for labels, too",
            )
        if data.kind.has_events and not getattr(emission_of(data), "closed", False):
            raise CortseqError(
                f"{data.observation} has no formula for the likelihood of a mean: a mixture over hundreds of "
                "draws in every bin would take hours",
                key="observation",
                value=data.observation,
                fix="use poisson, negative_binomial or generalised_poisson, or leave this model out",
            )

    def readout(self, shape: Data | dict[str, Any]) -> Readout:
        """Return how recordings of this shape are seen through the latent."""
        track = TRACKS[shape["track"] if isinstance(shape, dict) else shape.track]
        return Signals(self.prior, self.skip) if track.has_scale else Counts(emission_of(shape), self.prior)

    def _free_run(
        self, params: Params, shape: dict[str, Any], n_trials: int, n_time: int
    ) -> tuple[Readout, Data]:
        """Return the read-out and empty trials with the inputs of a free run.

        Raises
        ------
        CortseqError : the model has inputs and none are given.
        """
        drive = shape.get("drive")
        if shape["n_inputs"] and drive is None:
            raise CortseqError("a model with inputs cannot run freely without them", key="inputs")
        readout = self.readout(shape)
        readout.common = {k: params[k] for k in COMMON if k in params}
        blank = np.zeros((n_trials, n_time, 1))
        return readout, Data(
            shape["track"], blank, np.ones(blank.shape[:2], bool), drive, shape["bin_width"], 1
        )
