"""What drives the network while it learns: the recording (teacher forcing), itself, or a mixture.

    teacher      x_t = y_t. The exact gradient of the likelihood of what was recorded.
    scheduled    x_t = y_t with probability e, else a draw from p(y_t | the network's own past); e falls from
                 1 to `final` over the epochs. Bengio et al. 2015 arXiv:1506.03099. Not consistent: its
                 optimum is not the true conditional distribution, however much data there is (Huszar 2015
                 arXiv:1511.05101).
    generalised  signals: after y_t is scored, the state is pulled by a fraction `alpha` towards one that
                 reads out as y_t, h <- h + alpha C^+ (y_t - C h - d), and the forced read-out is the next
                 input. Of several layers only the top one is pulled. With `begin` alpha falls from there over
                 the epochs. Hess et al. 2023 arXiv:2306.04406.
    sparse       the same with alpha = 1 every `every` bins and 0 between. Mikhaeil et al. 2022
                 arXiv:2110.07238.

Where the read-out has a skip, it too sees what was fed: the recording, the draw or the forced read-out.

The epoch that is kept is the one of the smallest validation loss: under the forcing itself for `generalised`
and `sparse`, with the recording as input for the others. Scores are always one step ahead with the recording
as input, whatever a model was trained with.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from cortseq._lazy import lazy
from cortseq.models.base import Specification
from cortseq.networks.training import noise

if TYPE_CHECKING:
    import torch

    from cortseq.networks.training.engines.base import Batch, State
    from cortseq.networks.training.engines.generic import Generic
else:
    torch = lazy("torch")

Fraction = Annotated[float, Field(ge=0, le=1)]


class _Strategy(Specification):
    tracks: ClassVar[tuple[str, ...]] = ("counts", "symbols", "signal")
    # Whether C^+ is needed, which a read-out that starts at 0 has not.
    inverts: ClassVar[bool] = False

    def plain(self, progress: float) -> bool:
        """Whether inputs at `progress` (0 to 1) of the epochs are the recording, known beforehand."""
        return False


class Teacher(_Strategy):
    """The recording is the input in every bin."""

    kind: Literal["teacher"] = "teacher"

    def plain(self, progress: float) -> bool:
        """Return True: the inputs are known beforehand."""
        return True


class Scheduled(_Strategy):
    """The teacher's probability e(s) falls with the fraction s of the epochs from 1 to `final`.

    linear       1 - (1 - final) s
    exponential  final^s (final > 0)
    sigmoid      inverse sigmoid k / (k + exp(10 s) - 1), k set so that e(1) = final; constant: final at once.
    """

    kind: Literal["scheduled"] = "scheduled"
    decay: Literal["linear", "exponential", "sigmoid", "constant"] = "linear"
    final: Fraction = 0.5
    coin: Literal["step", "sequence"] = Field("step", description="thrown for every bin, or once a trial")

    def probability(self, progress: float) -> float:
        """Return e at a fraction `progress` of the epochs."""
        if self.final == 1 or (progress <= 0 and self.decay != "constant"):
            return 1.0
        if self.decay == "constant":
            return self.final
        if self.decay == "linear":
            return 1 - (1 - self.final) * progress
        floor = max(self.final, 1e-3)
        if self.decay == "exponential":
            return float(floor**progress)
        k = math.expm1(10) * floor / (1 - floor)
        return k / (k + math.expm1(10 * progress))

    def plain(self, progress: float) -> bool:
        """Whether e is 1."""
        return self.probability(progress) == 1


class Generalised(_Strategy):
    """In every bin the state is pulled a fraction `alpha` towards one that reads out as the recording.

    With `begin` the fraction falls with the share s of the epochs, begin^(1 - s) alpha^s. A network that is
    forced weakly from its first step on follows nothing, and learns slowly from errors that are all its own.
    """

    tracks: ClassVar[tuple[str, ...]] = ("signal",)
    inverts: ClassVar[bool] = True

    kind: Literal["generalised"] = "generalised"
    alpha: Fraction = 0.1
    begin: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="the fraction in the first step, falling to `alpha` in the last; null: `alpha`"
    )

    def forced(self, bin: int, progress: float = 1.0) -> float:
        """Return the fraction by which the state is pulled at `progress` (0 to 1) of the epochs."""
        if self.begin is None:
            return self.alpha
        return float(self.begin ** (1 - progress) * self.alpha**progress)


class Sparse(_Strategy):
    """States are set to one that reads out as the recording every `every` bins, and run freely between."""

    tracks: ClassVar[tuple[str, ...]] = ("signal",)
    inverts: ClassVar[bool] = True

    kind: Literal["sparse"] = "sparse"
    every: Annotated[int, Field(ge=1)] = 20

    def forced(self, bin: int, progress: float = 1.0) -> float:
        """Return 1 in every `every`-th bin, else 0."""
        return 1.0 if (bin + 1) % self.every == 0 else 0.0


Strategy = Annotated[Teacher | Scheduled | Generalised | Sparse, Field(discriminator="kind")]


class Rollout:
    """Makes the inputs of one stretch of bins as the network goes; used by the generic engine only.

    Parameters
    ----------
    engine, batch : the generic engine and its batch.
    first, stop : the bins of the stretch.
    x, y, mask : inputs, observations and mask of these bins, see `Network.tensors`.
    fed : (..., trial, feature) what the skip sees at bin `first`: the recording, or what an earlier stretch
        fed. None where there is no skip.
    """

    def __init__(
        self,
        engine: Generic,
        batch: Batch,
        first: int,
        stop: int,
        x: torch.Tensor,
        y: torch.Tensor,
        mask: torch.Tensor,
        fed: torch.Tensor | None,
    ):
        self.engine, self.batch, self.first = engine, batch, first
        self.strategy, self.x, self.y, self.mask = engine.strategy, x, y, mask
        self.last: list[Any] = [fed]
        if fed is not None:
            self.recorded = engine._before(batch, first + 1, stop + 1)  # at the bins after each bin
        if isinstance(self.strategy, Scheduled):
            self.coins = self._coins(self.strategy.probability(batch.progress), first, stop)
            self.generators = [torch.Generator(engine.device) for _ in batch.draws]
        else:
            weight = engine.q["readout_weight"]
            self.inverse = torch.linalg.pinv(weight.detach())
            self.seen = engine.observation.encode(engine.q, y)

    def step(self, t: int, state: State, out: torch.Tensor) -> tuple[State, torch.Tensor]:
        """Return the state after forcing, and the drive into the next bin (..., n_drive)."""
        engine, q = self.engine, self.engine.q
        eta = engine.network.readout(q, out, self.last[-1])
        x = self.x[..., t, :]
        if isinstance(self.strategy, Scheduled):
            own = engine.observation.encode(q, self._draw(t, eta.detach())).to(x.dtype)
            self._follow(t, own)
            if own.shape[-1] < x.shape[-1]:  # the recording's inputs are not the network's to predict
                own = torch.cat([own, x[..., own.shape[-1] :]], -1)
            x = torch.where(self.coins[..., t, None], x, own * self.mask[..., t, None])
        else:
            alpha = self.strategy.forced(self.first + t, self.batch.progress) * self.mask[..., t, None]
            eta = eta[..., : self.seen.shape[-1]]  # the means
            error = alpha * (self.seen[..., t, :] - eta)
            self._follow(t, eta + error)
            state = (state[0] + error @ self.inverse.mT, *state[1:])
            x = torch.cat([eta + error, x[..., eta.shape[-1] :]], -1)
        return state, engine.network.drive(q, x)

    def lasts(self, n: int) -> torch.Tensor | None:
        """Return what the skip saw at the first `n` bins, (..., trial, time, feature); None without one."""
        return None if self.last[0] is None else torch.stack(self.last[:n], -2)

    def _follow(self, t: int, fed: torch.Tensor) -> None:
        """Note what the skip sees after bin t: nothing where the recording has nothing."""
        if self.last[0] is None:
            return
        recorded = self.recorded[..., t, :]
        if isinstance(self.strategy, Scheduled):
            fed = torch.where(self.coins[..., t, None], recorded, fed)
        self.last.append(torch.where(recorded.isnan(), torch.nan, fed))

    def _coins(self, probability: float, first: int, stop: int) -> torch.Tensor:
        """Return True where the teacher's value is used, (..., trial, time)."""
        n_trials, n_time = self.batch.index.shape[1], self.engine.data.y.shape[1]
        each = self.strategy.coin == "step"
        words = [d.words(noise.COIN, (n_trials, n_time if each else 1)) for d in self.batch.draws]
        coins = np.stack(words) < round(65536 * probability)
        coins = coins[:, :, first:stop] if each else np.broadcast_to(coins, (*coins.shape[:2], stop - first))
        tensor = torch.as_tensor(np.ascontiguousarray(coins), device=self.engine.device)
        return tensor[0] if len(tensor) == 1 else tensor

    def _draw(self, t: int, eta: torch.Tensor) -> torch.Tensor:
        """Draw bin first + t from the read-out, each member from a generator seeded by that bin."""
        engine = self.engine
        for generator, draws in zip(self.generators, self.batch.draws, strict=True):
            generator.manual_seed(draws.integer(noise.DRAW, self.first + t))
        if len(self.generators) == 1:
            return engine.observation.draw(engine.q, eta, self.generators[0])
        drawn = [
            engine.observation.draw({k: v[m] for k, v in engine.q.items()}, eta[m], generator)
            for m, generator in enumerate(self.generators)
        ]
        return torch.stack(drawn)
