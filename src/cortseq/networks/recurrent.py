"""A recurrent model: what a study asks of a cell that is trained as a network.

Two settings take something from a network, so that one sees what it was worth: `discretise` shows it the
states of a Markov chain only, `memory` restarts it from its start state k bins before each bin it predicts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from cortseq import observations
from cortseq._lazy import lazy
from cortseq.data import Data, Params
from cortseq.models.base import Fit, Kind, Learned, Model, Role, Run
from cortseq.models.predictive import Predictive
from cortseq.models.work import Size, Work
from cortseq.networks import evaluate, loop, parameters
from cortseq.networks.cell import Cell, Count, State
from cortseq.networks.member import Member
from cortseq.networks.network import Network
from cortseq.networks.sessions import Sessions
from cortseq.networks.training.settings import Training
from cortseq.networks.training.strategies import Teacher
from cortseq.observations.tracks import TRACKS

if TYPE_CHECKING:
    from cortseq.flow import Flow, Map
    from cortseq.networks import forecast as ahead
else:
    ahead = lazy("cortseq.networks.forecast")  # it brings torch

__all__ = ["Count", "Recurrent", "State"]


class Recurrent(Training, Sessions, Cell, Model):
    """Abstract: a family of networks, which is also its entry in a study.

    A family writes the methods of `Cell`. Settings of cell, training and network are flat keys.
    """

    role: ClassVar[Role] = "recurrent"
    has_members: ClassVar[bool] = True
    blockwise: ClassVar[bool] = True
    forecasts: ClassVar[Kind] = "sampled"
    driven: ClassVar[bool] = True
    replays: ClassVar[bool] = True
    idle: ClassVar = {"symbols": ("skip", "mixture"), "counts": ("skip",), "signal": ("mixture",)}

    mixture: Count = Field(
        1, description="counts: components of the predicted distribution, under which units vary together"
    )
    discretise: Annotated[int, Field(ge=2, le=512)] | None = Field(
        None,
        description="the network sees only that many population states, those of `markov`; null: everything",
    )
    skip: bool = Field(
        True, description="signals: the read-out sees the bin before, unless the network sees states only"
    )
    memory: Count | None = Field(
        None,
        description="bins that a prediction sees: trained on windows of so many; null: all since the start",
    )
    inputs: bool = Field(True, description="whether the network sees the inputs that a recording has")

    @model_validator(mode="after")
    def _one_view(self) -> Recurrent:
        if self.discretise is not None and self.memory is not None:
            raise ValueError("discretise or memory, not both: a state remembers more than `memory` bins")
        if self.discretise is not None and not isinstance(self.strategy, Teacher):
            raise ValueError(
                "discretise is for strategy teacher: what the network draws is no population state"
            )
        return self

    @property
    def training(self) -> Training:
        """The settings of training alone."""
        return Training.model_construct(**{name: getattr(self, name) for name in Training.model_fields})

    def network(self, shape: Data | dict[str, Any]) -> Network:
        """Return the network for a recording; `shape`: its Data, or the card of a fit to it."""
        track = shape["track"] if isinstance(shape, dict) else shape.track
        observation = observations.observation_of(shape, self.mixture)
        states = self.discretise if self.discretises(track) else None
        return Network(self, observation, self.mixture, states, self.memory)

    def discretises(self, track: str) -> bool:
        """Return whether the network sees population states; symbols are states already."""
        return self.discretise is not None and not TRACKS[track].has_labels

    def applies(self, track: str) -> bool:
        """Return False for a network that would see population states of symbols: they are states already."""
        return self.discretise is None or self.discretises(track)

    def check(self, data: Data) -> None:
        """Raise a CortseqError for a recording that this specification cannot be fitted to."""
        parameters.check_data(self, data)

    def check_start(self, start: Fit, shape: dict[str, Any]) -> None:
        """Raise a CortseqError if learning on a recording of `shape` cannot begin with an earlier fit."""
        check = parameters.check_earlier if self.cell == "learned" else parameters.check_moved
        check(self, start, shape)

    def initial(
        self, train: Data, members: int, seed: int, dtype: Any = np.float32, valid: Data | None = None
    ) -> Params:
        """Return start parameters of all members, tensors with a leading member axis.

        Member m depends on (seed, m) only. `valid`: trials on which the decay of a discretised network's
        encoder is chosen; None: `train`.
        """
        return parameters.start_parameters(self, train, valid or train, members, seed, dtype)

    def learn(self, train: Data, valid: Data, run: Run) -> Learned:
        """Train all members by gradient descent; see `Model.learn`."""
        from cortseq.networks.training import gradient

        params = self.initial(train, run.members, run.seed, valid=valid)
        kept = parameters.of_cell(self, train.bin_width) if self.cell == "frozen" else frozenset()
        if (start := run.start) is not None:
            params = parameters.moved(params, start, kept) if kept else parameters.carried(params, start)
        network = self.network(train)
        learned = gradient.descend(network, self.training, params, train, valid, run, frozen=kept)
        learned.card["dead_units"] = evaluate.dead_units(network, learned.params, train)
        return learned

    def work(self, size: Size) -> Work:
        """Return the arithmetic of all epochs; a network that stops early does less."""
        return self.arithmetic(self.hidden, size, self.depth)

    def log_prob(self, params: Params, data: Data) -> np.ndarray[Any, Any]:
        """Return log p(y_t | y_<t) in nats, (member, trial, time)."""
        return evaluate.log_prob(self.network(data), params, data)

    def predict(self, params: Params, data: Data) -> np.ndarray[Any, Any]:
        """Return E[y_t | y_<t], (member, trial, time, feature); label probabilities for symbols."""
        return evaluate.predict(self.network(data), params, data)

    def predictive(self, params: Params, data: Data) -> Iterator[Predictive]:
        """Yield each member's distribution of every bin; see `Model.predictive`."""
        return evaluate.predictive(self.network(data), params, data)

    def recall(self, params: Params, data: Data, memories: Sequence[int]) -> np.ndarray[Any, Any]:
        """Return log p(y_t | the last k bins) of the same parameters, for each k of `memories`.

        (memory, member, trial, time) nats, k >= 1: the state restarts at t - k; k >= time - 1: `log_prob`.
        """
        return evaluate.recall(self.network(data), params, data, memories)

    def forecast(
        self, params: Params, data: Data, horizons: Sequence[int], samples: int = 128, seed: int = 0
    ) -> np.ndarray[Any, Any]:
        """Return ln of the mean p over `samples` >= 2 futures, (member, trial, time, horizon) nats."""
        return self.futures(params, data, horizons, samples, seed)

    def futures(
        self,
        params: Params,
        data: Data,
        horizons: Sequence[int],
        samples: int,
        seed: int,
        begins: np.ndarray | None = None,
    ) -> np.ndarray[Any, Any]:
        """Return `forecast` from chosen bins, (member, trial, time, horizon) nats; see `Model.futures`."""
        return ahead.sampled(self.network(data), params, data, horizons, samples, seed, begins)

    def plug_in(self, params: Params, data: Data, horizons: Sequence[int]) -> np.ndarray[Any, Any]:
        """Return `forecast` with expectations fed forward, (member, trial, time, horizon) nats.

        Not a likelihood: label it "plug-in".
        """
        return ahead.plug_in(self.network(data), params, data, horizons)

    def squared_error(self, params: Params, data: Data, horizons: Sequence[int]) -> np.ndarray[Any, Any]:
        """Return `cortseq.networks.forecast.squared_error` of signals, (member, trial, time, horizon)."""
        return ahead.squared_error(self.network(data), params, data, horizons)

    @property
    def has_forecast(self) -> bool:
        """Whether bins further ahead than the next can be predicted."""
        return self.memory is None

    def simulate(
        self, params: Params, shape: dict[str, Any], n_trials: int, n_time: int, rng: np.random.Generator
    ) -> np.ndarray[Any, Any]:
        """Draw trials of one member, running freely: (trial, time, feature), labels (trial, time)."""
        return evaluate.simulate(self.network(shape), params, shape, n_trials, n_time, rng)

    # -- dynamics ---------------------------------------------------------------------------------

    @property
    def has_flow(self) -> bool:
        """Whether the fit is a dynamical system on one state."""
        return self.memory is None and self.discretise is None and not self.windowed

    def states(self, params: Params, data: Data) -> np.ndarray[Any, Any]:
        """Return flat states before each bin, teacher-forced, (member, trial, time, dim), float64.

        With a skip their last n_features numbers are the standardised signal of the bin before, 0 if missing.
        """
        return evaluate.states(self.network(data), params, data)

    def member(self, params: Params, shape: dict[str, Any], member: int) -> Member:
        """Return one member of `params` as a network in float64; `shape`: the card of the fit."""
        return Member.of(self.network(shape), params, member)

    def flow(
        self,
        params: Params,
        shape: dict[str, Any],
        member: int,
        map: Map,
        input: Any = None,
        seed: int = 0,
        inputs: Any = None,
    ) -> Flow:
        """Return the map of one member on its whole flat state, float64 (docs/dynamics.md#three-maps).

        The state is that of `states`: with a skip the cell's, then the standardised signal of the bin before,
        which is what was fed last. `Flow.push` gives DF(s) V in closed form where the family has a `tangent`;
        a sampled map's is F_h alone, but for signals, whose draws E + sd x noise have a derivative.

        Parameters
        ----------
        map : "open" holds `input`, "closed" feeds back the expectation E[y|s], "sampled" a draw.
        input : one bin as recorded, (feature,); of symbols a label or the probabilities of all; None: zero.
        seed : of the draws.
        inputs : (n_inputs,) what recorded inputs are held at, in their own units; None: their mean over the
            valid bins of the training trials (0 in a fit that is older than this).

        Raises
        ------
        CortseqError : an unknown map, an input that is none or is given to a map that makes its own, inputs
            of another shape, a network that has no such flow (`memory`, `discretise`, a `windowed` cell).
        """
        return loop.flow(self.member(params, shape, member), shape, map, input, seed, inputs)
