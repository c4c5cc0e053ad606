"""Options of a call of `Model.fit`, and what `Model.learn` hands back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cortseq._lazy import pd
from cortseq.data import Params
from cortseq.models.progress import Checkpoint, Progress, silent

if TYPE_CHECKING:
    from cortseq.models.base import Fit


@dataclass(frozen=True)
class Run:
    """Options of one call of `Model.fit`: restarts, seed, device, progress, checkpoint, earlier fit."""

    members: int = 1
    seed: int = 0
    device: str = "cpu"
    progress: Progress = silent
    checkpoint: Checkpoint | None = None
    start: Fit | None = None  # begin with what it learned


CURVES = ["member", "epoch", "train_loss", "valid_loss", "learning_rate", "clipped", "best"]


@dataclass
class Learned:
    """What `Model.learn` hands back: parameters with a leading member axis, and the record of learning."""

    params: Params
    n_parameters: int
    curves: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=CURVES))
    card: dict[str, Any] = field(default_factory=dict)
