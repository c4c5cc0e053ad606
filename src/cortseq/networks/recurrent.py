"""What all recurrent models share: a cell, a start state learned from training trials, a read-out.

With states s_t and observations y_t (docs/likelihood.md, docs/dynamics.md):

    s_{t+1} = F(s_t, [encode(y_t), u_{t+1}]),    p(y_t | y_<t) = observation(C output(s_t) + d)

so bin 0 is predicted from the start state alone, and no bin sees itself. On signals, where the best guess of a
bin is the bin before, the read-out has a direct path from it (`skip`): with z the standardised signal

    E[z_t | z_<t] = C output(s_t) + D z_{t-1} + d,    D diagonal, least squares of z_t on z_{t-1} in training bins

so the network learns what an autoregression of order 1 leaves, and starts from it. Where the bin before is
missing D z_{t-1} is 0 and the sd is that of the training bins. Two settings take something from a
network, so that one sees what it was worth: `discretise` shows it the states of a Markov chain only, `memory`
restarts it from its start state k bins before each bin it predicts. A family writes five small
methods on torch tensors (`start_parameters`, `derive`, `start`, `step`, `output`); they are written
with matrix products over the last two axes, so the same code runs one member or, with a leading member
axis, all of them at once. A sixth, `tangent`, is the derivative of `step` in closed form, for one member.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from cortseq import observations
from cortseq._lazy import lazy
from cortseq.data import Data, Params
from cortseq.errors import CortseqError
from cortseq.models.base import Fit, Learned, Model, Run
from cortseq.networks.training.strategies import Strategy, Teacher

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

Count = Annotated[int, Field(ge=1)]
State = tuple  # of tensors (..., size), concatenated in this order in a Flow
ENCODER = ("decay", "centroids")  # of the population states that a discretised network sees
_CHUNK = 128  # trials scored at once: bounds memory
# What a fit that begins with an earlier one has in common with it, and what to do where it has not.
_CARRIED = {
    "family": "fit both sessions with the same model",
    "track": "sessions that are learned one after another need the same kind of recording",
    "observation": "give both sessions the same `observation`",
    "n_features": "sessions that are learned one after another need the same units: `select` those of both",
    "n_inputs": "give both sessions the same inputs",
    "members": "fit both with as many members (one that failed is missing from the earlier fit)",
}


class Recurrent(Model):
    """Abstract: a cell between an input projection and a linear read-out, learned by gradient descent."""

    role: ClassVar = "recurrent"
    has_members: ClassVar = True
    forecasts: ClassVar = "sampled"
    idle: ClassVar = {"symbols": ("skip", "mixture"), "counts": ("skip",), "signal": ("mixture",)}
    # Whether `kernel` gives a hand-written CPU execution of the same update.
    has_kernel: ClassVar[bool] = False
    # Parameters that belong to the model but are not learned.
    fixed: ClassVar[frozenset[str]] = observations.FIXED | {*ENCODER}

    hidden: Count = Field(64, description="number of hidden units")
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
    mixture: Count = Field(
        1, description="counts: components of the predicted distribution, under which units vary together"
    )
    strategy: Strategy = Teacher()
    schedule: Literal["cosine", "linear", "constant"] = Field("cosine", description="of the learning rate")
    warm_up: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.02, description="share of the epochs over which the learning rate rises from 0"
    )
    execution: Literal["auto", "generic"] = Field("auto", description="generic: automatic differentiation")
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
    after: Literal["previous"] | None = Field(
        None,
        description="previous: on the sessions of the study's `sequence` learning begins with what was learned on the "
        "one before; null: from random parameters on each",
    )

    # -- what a family writes ---------------------------------------------------------------------

    def start_parameters(self, n_in: int, bin_width: float, rng: np.random.Generator) -> dict:
        """One member's cell parameters before learning, numpy arrays without a member axis."""
        raise NotImplementedError

    def derive(self, p: Params) -> Params:
        """`p` with what is computed once per sequence from the raw parameters (signed weights, leaks)."""
        return p

    def start(self, q: Params) -> State:
        """The state before the first bin, tensors (..., size)."""
        raise NotImplementedError

    def step(self, q: Params, state: State, drive: torch.Tensor) -> State:
        """One bin of the update rule; `drive` = U x + b."""
        raise NotImplementedError

    def tangent(
        self, q: Params, state: State, drive: torch.Tensor, vectors: State, moved: torch.Tensor
    ) -> State:
        """The derivative of one member's `step` in closed form: images (..., size, k) of k tangent vectors.

        `vectors`: the parts of the vectors (..., size, k), `moved` (..., n_drive, k): what goes with them in the
        drive. A family that writes none, or an `output` of its own, is differentiated automatically.
        """
        raise NotImplementedError

    @property
    def has_tangent(self) -> bool:
        return type(self).tangent is not Recurrent.tangent

    @property
    def saturates(self) -> bool:
        """Whether its units are tanh of one recurrent matrix, which mean-field theory is about."""
        return False

    def output(self, q: Params, state: State) -> torch.Tensor:
        """What the read-out sees, (..., hidden)."""
        return state[0]

    def kernel(self, q: dict):
        """The compiled execution for one member's derived parameters (numpy), where `has_kernel`."""
        raise NotImplementedError

    def recurrent_weights(self, p: Params) -> torch.Tensor:
        """The recurrent matrix, (..., hidden, hidden): row = to, column = from."""
        return self.derive(p)["recurrent"]

    def signs(self, p: Params) -> torch.Tensor | None:
        """Sign of each unit's outgoing weights where Dale's law holds."""
        return None

    def observation_of(self, shape: Data | dict):
        """What the read-out says about a bin: see `cortseq.observations`."""
        return observations.observation_of(shape, self.mixture)

    # -- the loop over time -----------------------------------------------------------------------

    def drive(self, q: Params, x: torch.Tensor) -> torch.Tensor:
        """U x + b for all bins at once (..., trial, time, input) or one bin (..., trial, input)."""
        weight = q["input_weight"]
        while weight.ndim < x.ndim and weight.ndim > 2:
            weight = weight.unsqueeze(1)
        return x @ weight.mT + observations._row(q["bias"], x)

    def scan(self, p: Params, x: torch.Tensor, states: bool = False) -> torch.Tensor:
        """Outputs (or whole flat states) before each bin, (..., trial, time, hidden), driven by x."""
        q = self.derive(p)
        drives = self.drive(q, x).unbind(-2)
        shape = drives[0].shape[:-1]
        state = tuple(_trials(s, shape) for s in self.start(q))
        flat = (lambda s: torch.cat(s, -1)) if states else (lambda s: self.output(q, s))
        out = [flat(state)]
        for drive in drives[:-1]:
            state = self.step(q, state, drive)
            out.append(flat(state))
        return torch.stack(out, -2)

    def outputs(self, p: Params, x: torch.Tensor) -> torch.Tensor:
        """What the read-out sees before each bin (trial, time, hidden): one member's, from `memory` bins or all."""
        if self.memory is None or self.memory >= x.shape[-2] - 1:
            return self.scan(p, x)
        return self.recent(p, x, [self.memory])[0]

    def recent(self, p: Params, x: torch.Tensor, memories: Sequence[int]) -> list[torch.Tensor]:
        """For each k of `memories` the outputs before bins t (trial, time, hidden) of one member, its state
        restarted from the start state at bin t - k (at bin 0 where t < k).

        Windows that begin at every bin run side by side; after k steps they are the predictions from k bins.
        """
        q, n_time = self.derive(p), x.shape[-2]
        drives = self.drive(q, x)
        state = tuple(s.expand(*x.shape[:-1], s.shape[-1]) for s in self.start(q))
        begun, reached = [], {}
        for k in range(min(max(memories), n_time - 1) + 1):
            if k:
                left = n_time - k
                state = self.step(q, tuple(s[:, :left] for s in state), drives[:, k - 1 : n_time - 1])
            out = self.output(q, state)
            begun.append(out[:, :1])
            if k in memories:
                reached[k] = out
        whole = torch.cat(begun, 1)
        return [torch.cat([whole[:, :k], reached[k]], 1) if k in reached else whole for k in memories]

    def readout(self, p: Params, out: torch.Tensor, last: torch.Tensor | None = None) -> torch.Tensor:
        """C out + d, (..., n_readout): one number per feature, more where counts are a mixture.

        With a skip, what `observations.skipped` makes of it and of the bins before, `last` (see `before`).
        """
        weight = p["readout_weight"]
        while weight.ndim < out.ndim and weight.ndim > 2:
            weight = weight.unsqueeze(1)
        eta = out @ weight.mT + observations._row(p["readout_bias"], out)
        return observations.skipped(p, eta, last) if "skip" in p else eta  # type: ignore[arg-type]

    # -- Model ------------------------------------------------------------------------------------

    @model_validator(mode="after")
    def _one_way_back(self):
        if self.truncate_every is not None and self.truncate is None:
            raise ValueError("truncate_every needs truncate: the bins a gradient goes back")
        if self.truncate is not None and (self.truncate_every or self.truncate) > self.truncate:
            raise ValueError("truncate_every is at most truncate, or some losses would reach no parameter")
        if self.truncate is not None and self.checkpointed:
            raise ValueError("truncate and checkpointed exclude each other: set one of them")
        if self.discretise is not None and self.memory is not None:
            raise ValueError(
                "a population state remembers more than `memory` bins: discretise or memory, not both"
            )
        if self.discretise is not None and not isinstance(self.strategy, Teacher):
            raise ValueError(
                "discretise is for strategy teacher: what the network draws is no population state"
            )
        return self

    def applies(self, track: str) -> bool:
        """Symbols are states already: a network that sees states only would be the network itself."""
        return self.discretise is None or track != "symbols"

    def check(self, data: Data) -> None:
        if data.n_features < 1 or data.y.shape[1] < 2:
            raise CortseqError(f"{self.family} needs trials of at least two bins", value=data.y.shape[1])
        if self.mixture > 1 and data.track != "counts":
            raise CortseqError(
                f"a mixture is for counts, the recording has {data.track}",
                key="mixture", value=self.mixture, fix="leave it out",
            )  # fmt: skip
        if data.track not in self.strategy.tracks:
            raise CortseqError(
                f"this strategy is for {' and '.join(self.strategy.tracks)}, the recording has {data.track}",
                key="strategy.kind", value=self.strategy.kind, fix="use teacher or scheduled",
            )  # fmt: skip

    def check_start(self, start: Fit, shape: dict) -> None:
        mine, theirs = ({**s, "family": m.family} for s, m in ((shape, self), (start.card, start.model)))
        _check_features(theirs, mine)
        for key, fix in _CARRIED.items():
            if mine[key] != theirs[key]:
                raise CortseqError(
                    f"{key.replace('n_', 'number of ')}: {theirs[key]} in the earlier fit",
                    key="start", value=mine[key], fix=fix,
                )  # fmt: skip

    def begun(self, fresh: Params, start: Fit) -> Params:
        """The parameters of `start` in place of `fresh`, the random ones of the same specification."""
        learned = {name: torch.as_tensor(value).to(torch.float32) for name, value in start.params.items()}
        for name in sorted(set(fresh) | set(learned)):
            there, here = (tuple(p[name].shape[1:]) if name in p else None for p in (learned, fresh))
            if there != here:
                raise CortseqError(
                    f"`{name}` has the shape {there} in the earlier fit",
                    key="start", value=here, fix="fit both sessions with the same settings",
                )  # fmt: skip
        return {name: learned[name].clone() for name in fresh}

    def initial(
        self, train: Data, members: int, seed: int, dtype=np.float32, valid: Data | None = None
    ) -> Params:
        """Start parameters of all members, tensors with a leading member axis; member m depends on (seed, m) only.

        `valid`: trials on which the decay of a discretised network's encoder is chosen; None: `train`.
        """
        observation = self.observation_of(train)
        encoder = self.encoder(train, valid or train, seed)
        skip = self.skip and self.discretise is None and train.track == "signal"
        n_in = (len(encoder["centroids"]) if encoder else observation.n_encoded) + train.n_inputs
        each = []
        for member in range(members):
            rng = np.random.default_rng([seed, member, 1])
            cell = self.start_parameters(n_in, train.bin_width, rng)
            # with a skip learning starts at the autoregression itself
            spread = 0.0 if skip and not self.strategy.inverts else 0.1 / np.sqrt(self.hidden)
            weight = rng.normal(0, spread, (observation.n_readout, self.hidden))
            start = observation.start_parameters(train.y, train.valid, rng)
            if skip:
                start |= observations.autoregression(train.y, train.valid, start)
            each.append({**cell, "readout_weight": weight, **start, **encoder})
        return {k: torch.from_numpy(np.stack([e[k] for e in each]).astype(dtype)) for k in each[0]}

    def discretises(self, track: str) -> bool:
        """Whether the network sees population states; symbols are states already."""
        return self.discretise is not None and track != "symbols"

    def encoder(self, train: Data, valid: Data, seed: int) -> Params:
        """What discretises: the encoder of the Markov chain of order 1 with as many states; {} where nothing does."""
        if self.discretise is None or not self.discretises(train.track):
            return {}
        from cortseq.models.chains.markov import Markov

        spec = {"states": self.discretise, "order": 1}
        chain = Markov.model_validate(spec).learn(train, valid, Run(seed=seed))
        return {name: chain.params[name][0] for name in ENCODER}

    def seen(self, p: Params, data: Data) -> Data:
        """What the network reads of `data`: itself, or population states as symbols; `p` of one member."""
        if not self.discretises(data.track):
            return data
        from cortseq.models.chains.encoder import labels

        found = {name: p[name].double().numpy() for name in ENCODER}
        return replace(
            data,
            track="symbols",
            observation="categorical",
            y=labels(found, data),
            n_features=len(found["centroids"]),
        )

    def look(self, p: Params, observation, y: torch.Tensor, smooth: torch.Tensor | None):
        """Network input for one bin that was drawn, and what it is smoothed with next (None: nothing is).

        `smooth` (..., feature): smoothed counts up to the bin before, NaN where there was none.
        """
        if smooth is None:
            return observation.encode(p, y), None
        decay = p["decay"]
        smooth = torch.where(smooth.isnan(), y, decay * smooth + (1 - decay) * y)
        rooted = observation.rooted(smooth)
        centroids = p["centroids"]
        nearest = ((centroids**2).sum(1) - 2 * rooted @ centroids.mT).argmin(-1)
        return torch.nn.functional.one_hot(nearest, len(centroids)).to(y.dtype), smooth

    def learn(self, train: Data, valid: Data, run: Run) -> Learned:
        from cortseq.networks.training import gradient

        params = self.initial(train, run.members, run.seed, valid=valid)
        if run.start is not None:
            params = self.begun(params, run.start)
        learned = gradient.descend(self, params, train, valid, run)
        learned.card["dead_units"] = self.dead_units(learned.params, train)
        return learned

    def dead_units(self, params: Params, data: Data, trials: int = 64) -> list[int]:
        """Hidden units whose output never varies over some trials, for each member: they carry nothing."""
        few = data.at(slice(trials))
        out = self._over_members(params, few, lambda p, x, y, last: self.scan(p, x))
        spread = np.ptp(out[:, few.valid], axis=1)
        return [int((member < 1e-6).sum()) for member in spread]

    def score(self, params: Params, data: Data) -> np.ndarray:
        def one(p, x, y, last):
            return self.observation_of(data).log_prob(p, self.readout(p, self.outputs(p, x), last), y)

        return self._over_members(params, data, one)

    def recall(self, params: Params, data: Data, memories: Sequence[int]) -> np.ndarray:
        """log p(y_t | the last k bins) of the same parameters, for each k of `memories`.

        (memory, member, trial, time) nats, k >= 1: the state is restarted at bin t - k. k >= time - 1 is `score`.
        """

        def one(p, x, y, last):
            observation = self.observation_of(data)
            outs = self.recent(p, x, memories)
            return torch.stack([observation.log_prob(p, self.readout(p, out, last), y) for out in outs], -1)

        return np.moveaxis(self._over_members(params, data, one), -1, 0)

    @property
    def has_forecast(self) -> bool:
        return self.memory is None

    @property
    def has_flow(self) -> bool:
        return self.memory is None and self.discretise is None

    def forecast(
        self, params: Params, data: Data, horizons: Sequence[int], samples: int = 128, seed: int = 0
    ) -> np.ndarray:
        """See `Model.forecast`: the mean probability over `samples` >= 2 futures drawn from the network."""
        from cortseq.networks import forecast as futures

        return futures.sampled(self, params, data, horizons, samples, seed)

    def plug_in(self, params: Params, data: Data, horizons: Sequence[int]) -> np.ndarray:
        """As `forecast`, with the expectation fed forward in place of draws. Not a likelihood: label it "plug-in"."""
        from cortseq.networks import forecast as futures

        return futures.plug_in(self, params, data, horizons)

    def expect(self, params: Params, data: Data) -> np.ndarray:
        def one(p, x, y, last):
            return self.observation_of(data).mean(p, self.readout(p, self.outputs(p, x), last))

        return self._over_members(params, data, one)

    def states(self, params: Params, data: Data) -> np.ndarray:
        """Whole flat states before each bin, teacher-forced, (member, trial, time, dim), float64.

        With a skip their last n_features numbers are the standardised signal of the bin before, 0 where there is none.
        """

        def one(p, x, y, last):
            states = self.scan(p, x, states=True)
            return states if last is None else torch.cat([states, last.nan_to_num(0.0)], -1)

        return self._over_members(params, data, one)

    def _over_members(self, params: Params, data: Data, function) -> np.ndarray:
        members = []
        with torch.no_grad():
            for member in range(len(params["readout_bias"])):
                p = {name: value[member].double() for name, value in params.items()}
                chunks = []
                for first in range(0, len(data.y), _CHUNK):
                    x, y, valid = tensors(self, p, data, slice(first, first + _CHUNK), torch.float64)
                    chunks.append(function(p, x, y, before(p, x, valid)).numpy())
                members.append(np.concatenate(chunks))
        return np.stack(members)

    def generate(self, params: Params, shape: dict, n_trials: int, n_time: int, rng) -> np.ndarray:
        if shape["n_inputs"]:
            raise CortseqError("a model with inputs cannot run freely without them")
        observation = self.observation_of(shape)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        p = {name: value.double() for name, value in params.items()}
        drawn: list = []
        read: list = []
        smooth = None
        if self.discretises(shape["track"]):
            smooth = torch.full((n_trials, shape["n_features"]), torch.nan, dtype=torch.float64)
        with torch.no_grad():
            q = self.derive(p)
            state = begin = tuple(_trials(s, (n_trials,)) for s in self.start(q))
            last = torch.full((n_trials, len(p["skip"])), torch.nan) if "skip" in p else None
            for _ in range(n_time):
                drawn.append(observation.draw(p, self.readout(p, self.output(q, state), last), generator))
                x, smooth = self.look(p, observation, drawn[-1], smooth)
                last = None if last is None else x
                read.append(self.drive(q, x))
                if self.memory is not None:
                    state = begin
                for drive in read[-(self.memory or 1) :]:
                    state = self.step(q, state, drive)
        return torch.stack(drawn, 1).numpy()

    def expected_at(self, params: Params, shape: dict, member: int, states) -> np.ndarray:
        """E[y | s] of flat states (..., dim) of one member, float64."""
        p = {name: value[member].double() for name, value in params.items()}
        with torch.no_grad():
            q = self.derive(p)
            observation, flat = self.observation_of(shape), torch.as_tensor(np.asarray(states)).double()
            state, last = parts(flat, [s.shape[-1] for s in self.start(q)], "skip" in p)
            return observation.mean(p, self.readout(p, self.output(q, state), last)).numpy()

    def flow_of(
        self, params: Params, shape: dict, member: int, map: str, input=None, seed: int = 0, inputs=None
    ):
        """The map of one member on its whole flat state, float64 (docs/dynamics.md#three-maps).

        ``map``: "open" holds `input` (one bin as recorded, (feature,); of symbols a label or the probabilities of
        all; None: the zero input), "closed" feeds back the expected observation E[y|s], "sampled" a draw from it
        (`seed`). `inputs` (n_inputs,): what the recorded inputs of a model that has some are held at, in their own
        units; None: their mean over the valid bins of the training trials (0 in a fit that is older than this).
        The state is that of `states`: with a skip the cell's, then the standardised signal of the bin before,
        which is what was fed last. `Flow.push` gives DF(s) V in closed form where the family has a `tangent`; a
        sampled map's is F_h alone, but for signals, whose draws E + sd x noise have a derivative.

        Raises
        ------
        CortseqError : an unknown map, an input that is none or is given to a map that makes its own, inputs of
        another shape, a network that has no such flow (`memory`, `discretise`).
        """
        from cortseq.flow import Flow
        from cortseq.networks import loop as maps

        self._check_map(shape, map, input)
        observation = self.observation_of(shape)
        p = {name: value[member].double() for name, value in params.items()}
        q = {name: value.detach() for name, value in self.derive(p).items()}
        sizes = [s.shape[-1] for s in self.start(q)]
        discrete = self.discretises(shape["track"])
        held = torch.zeros(len(p["centroids"]) if discrete else observation.n_encoded, dtype=torch.float64)
        if input is not None:
            y = maps.held_observation(shape, input)
            held, _ = self.look(p, observation, y, torch.full_like(y, torch.nan) if discrete else None)
        generator = torch.Generator().manual_seed(seed)
        q = maps.holding(q, shape, inputs)
        loop = maps.Loop(self, p, q, sizes, observation, map, held, generator)
        push = loop.push if loop.has_tangent else None
        return Flow(loop.step, loop.dim, map, push, batches=True)  # type: ignore[arg-type]

    def _check_map(self, shape: dict, map: str, input) -> None:
        if map not in ("open", "closed", "sampled"):
            raise CortseqError(
                "unknown map", key="map", value=map, fix='choose "open", "closed" or "sampled"'
            )
        if self.memory is not None:
            raise CortseqError("a network that restarts has no flow", key="memory", value=self.memory)
        if map != "open" and self.discretises(shape["track"]):
            raise CortseqError(
                f"a network that sees discrete states has no {map} flow: its input has no derivative",
                key="discretise", value=self.discretise, fix='use map="open", or Fit.simulate',
            )  # fmt: skip
        if map != "open" and input is not None:
            raise CortseqError(
                f"the {map} map makes its own input", key="input",
                fix='leave it out, or hold it with map="open"; recorded inputs are held with `inputs`',
            )  # fmt: skip


def parts(
    flat: torch.Tensor, sizes: list[int], skip: bool, axis: int = -1
) -> tuple[State, torch.Tensor | None]:
    """Flat states (..., dim) as the cell's parts and, with a skip, the standardised signal of the bin before.

    axis : along which they are flat, -2 of tangent vectors (..., dim, k).
    """
    each = flat.split([*sizes, *[flat.shape[axis] - sum(sizes)] * skip], axis)
    return (each[:-1], each[-1]) if skip else (each, None)


def _check_features(theirs: dict, mine: dict) -> None:
    """Raise a CortseqError where two cards on one track name different units, channels or labels, or in other places."""
    there, here = theirs.get("features"), mine["features"]
    if theirs["track"] != mine["track"] or not there or not here or there == here:
        return
    what = observations.TRACKS[mine["track"]].feature
    odd = sorted(set(there) ^ set(here))
    raise CortseqError(
        f"{what} {odd[0]} is in one of the two sessions only" if odd else f"the {what}s are in another order",
        key="start",
        fix=f"sessions that are learned one after another need the same {what}s: `select` those of both",
    )


def _trials(state: torch.Tensor, shape) -> torch.Tensor:
    """A start state (size,) or (member, size) repeated over trials, (..., trial, size)."""
    return state.unsqueeze(-2).expand(*shape, state.shape[-1])


def before(p: Params, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor | None:
    """The standardised signal of the bin before each, (trial, time, feature), from the network input `x`.

    NaN where there is none; None where the read-out has no skip.
    """
    if "skip" not in p:
        return None
    seen = torch.where(valid.unsqueeze(-1), x[..., : p["skip"].shape[-1]], torch.nan)
    return torch.cat([torch.full_like(seen[:, :1], torch.nan), seen[:, :-1]], 1)


def tensors(model: Recurrent, p: Params, data: Data, trials, dtype):
    """Network input (encoded y and, one bin ahead, the recording's inputs), y and mask of some trials."""
    data = data.at(trials)
    seen = model.seen(p, data)
    y, read = (
        torch.as_tensor(d.y) if d.track == "symbols" else torch.as_tensor(d.y).to(dtype) for d in (data, seen)
    )
    valid = torch.as_tensor(data.valid)
    x = model.observation_of(seen).encode(p, read).to(dtype) * valid.unsqueeze(-1)
    if data.inputs is not None:
        ahead = torch.as_tensor(np.roll(data.inputs, -1, axis=1)).to(dtype)
        x = torch.cat([x, ahead], -1)
    return x, y, valid
