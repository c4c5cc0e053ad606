"""Settings of training, apart from the network that is trained."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from cortseq.models.base import Specification
from cortseq.models.work import Size, Work
from cortseq.networks.cell import Count
from cortseq.networks.training.strategies import Strategy, Teacher


class Training(Specification):
    """How a network is trained by gradient descent.

    In a study these are keys of the model's entry beside its other settings; `Recurrent.training` is this
    part of them.
    """

    uses_gpu: ClassVar[bool] = True  # a family that learns in another way says False

    epochs: Count = Field(
        200, description="passes over the training trials, over which the learning rate falls"
    )
    batch: Count = Field(32, description="trials per gradient step")
    learning_rate: Annotated[float, Field(gt=0)] = 1e-2
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip: Annotated[float, Field(gt=0)] = Field(1.0, description="largest norm of a member's gradient")
    patience: Count = Field(50, description="epochs without a better validation loss before stopping")
    input_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    hidden_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    input_noise: Annotated[float, Field(ge=0)] = Field(0.0, description="sd added to the encoded input")
    truncate: Count | None = Field(None, description="bins a gradient goes back at most; null: all")
    truncate_every: Count | None = Field(None, description="bins between truncated passes; null: `truncate`")
    checkpointed: bool = Field(False, description="memory ~ sqrt(bins) for one more forward pass")
    strategy: Strategy = Teacher()
    schedule: Literal["cosine", "linear", "constant"] = Field("cosine", description="of the learning rate")
    warm_up: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.02, description="share of the epochs over which the learning rate rises from 0"
    )
    execution: Literal["auto", "generic", "fused"] = Field(
        "auto",
        description="generic: automatic differentiation; fused: on a GPU the loop over time in one kernel",
    )

    @model_validator(mode="after")
    def _one_way_back(self) -> Training:
        if self.truncate_every is not None and self.truncate is None:
            raise ValueError("truncate_every needs truncate: the bins a gradient goes back")
        if self.truncate is not None and (self.truncate_every or self.truncate) > self.truncate:
            raise ValueError("truncate_every is at most truncate, or some losses would reach no parameter")
        if self.truncate is not None and self.checkpointed:
            raise ValueError("truncate and checkpointed exclude each other: set one of them")
        return self

    def arithmetic(self, hidden: int, size: Size, layers: int = 1) -> Work:
        """Return how much arithmetic all epochs take for `layers` of `hidden` units (`Model.work`).

        A layer that is not the lowest reads `hidden` numbers of the layer below.
        """
        epochs = size.members * self.epochs
        passed = epochs * size.passed
        return {
            "fit": float(size.members),
            "step": float(epochs * math.ceil(size.train / self.batch) * size.bins),  # bins of all batches
            "unit": float(passed * hidden * layers),
            "product": float(passed * hidden * ((2 * layers - 1) * hidden + 2 * size.features)),
        }
