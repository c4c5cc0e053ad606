"""What a model is, and what it becomes when fitted.

A Model is a frozen, typed specification and also its entry in a study. Fitting gives a Fit: the Model
and a plain dict of arrays whose leading axis is `member` (random restarts).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict

from cortseq import recording as rec
from cortseq._lazy import xr
from cortseq.data import Data, Params, Trials
from cortseq.errors import CortseqError
from cortseq.models import shown
from cortseq.models.fit import Fit
from cortseq.models.horizons import begun
from cortseq.models.learning import CURVES, Learned, Run
from cortseq.models.predictive import Predictive, around_expected
from cortseq.models.prepared import Prepared
from cortseq.models.progress import Checkpoint, Progress, chosen
from cortseq.models.work import Size, Work

__all__ = ["CURVES", "Fit", "Learned", "Model", "Run", "Specification"]
Role = Literal["recurrent", "markov", "baseline", "null"]
Kind = Literal["exact", "sampled", "label chain"]  # of a forecast
# Settings of `Model.small`, wherever a family has them.
_SMALL = {
    "hidden": 6,
    "epochs": 3,
    "batch": 8,
    "states": 4,
    "order": 2,
    "restarts": 1,
    "iterations": 15,
    "latents": 2,
}


class Specification(BaseModel, metaclass=shown.Typed):
    """Abstract: typed settings that cannot be changed; an unknown key, NaN or infinity is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Yield the settings that are not the defaults."""
        return shown.settings(self)

    def _repr_html_(self) -> str:
        return shown.html_of_model(self)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return every setting by its name, as scikit-learn asks for them.

        Parameters
        ----------
        deep : whether settings of a setting are returned too, such as `strategy__kind`.
        """
        found = {name: getattr(self, name) for name in type(self).model_fields if name != "family"}
        inner = {
            f"{name}__{key}": value
            for name, setting in found.items()
            if deep and isinstance(setting, Specification)
            for key, value in setting.get_params().items()
        }
        return found | inner

    def set_params(self, **params: Any) -> Self:
        """Return a copy with other settings; this specification stays as it is.

        A specification cannot be changed, so use what is returned: `model = model.set_params(hidden=8)`.
        scikit-learn's own searches do.

        Parameters
        ----------
        params : settings by name; `strategy__kind` is the setting `kind` of the setting `strategy`.

        Raises
        ------
        CortseqError : no such setting, or a value that it cannot have.
        """
        given = self.get_params(deep=False)
        for name in sorted(params, key=lambda name: "__" in name):  # a setting, before its own settings
            outer, _, inner = name.partition("__")
            setting = given.get(outer) if inner else None
            if isinstance(setting, Specification):
                setting = setting.get_params(deep=False)
            if isinstance(setting, dict):
                given[outer] = {**setting, inner: params[name]}
            else:
                given[name] = params[name]  # of a name that is no setting the specification complains itself
        return type(self)(**given)

    def __sklearn_clone__(self) -> Self:
        """Return itself for `sklearn.base.clone`: it holds settings alone, which cannot be changed."""
        return self


class Model(Specification, metaclass=shown.Named):
    """Abstract: a specification with pure methods. Subclasses are final and named by `family`.

    The methods have the names of those of `Fit`, and take the parameters and plain arrays (`Data`) in place
    of a recording: `log_prob`, `predict`, `forecast` and `simulate`; networks have `states`, `flow` and more.
    """

    role: ClassVar[Role]
    has_members: ClassVar[bool] = False
    uses_gpu: ClassVar[bool] = False  # whether `learn` computes on a GPU where the study's device is one
    # Whether `forecast` is exact or a Monte-Carlo estimate, or follows the labels of a chain.
    forecasts: ClassVar[Kind] = "exact"
    # Rung of the ladder of baselines (`cortseq.scoring.ladder`) of its fits, where the role does not say.
    rung: ClassVar[str] = ""
    # What the family is given of each trial beside observations and inputs: "labels", "place" (`Data`).
    sees: ClassVar[tuple[str, ...]] = ()
    # Whether the family sees recorded inputs (it then has the setting `inputs`), and whether `simulate`
    # replays them: they are `shape["drive"]`, (trial, time, input) as `learn` saw them.
    driven: ClassVar[bool] = False
    replays: ClassVar[bool] = False
    # Whether `learn` goes through large recordings block by block, and takes compact counts (`Data.blocks`).
    blockwise: ClassVar[bool] = False
    # whether a fit has to choose on an observed validation bin
    chooses: ClassVar[bool] = True
    # Settings that mean nothing on a track: a sweep over them makes no variants there.
    idle: ClassVar[dict[str, tuple[str, ...]]] = {}

    family: str

    @classmethod
    def small(cls, **more: Any) -> Self:
        """Return a specification that fits in a second; the contract tests run every family with it.

        A family overrides this where sizes of its own are needed:
        `return super().small(**{"rank": 2, **more})`.

        Parameters
        ----------
        more : settings that replace those of the small specification.
        """
        return cls(**{key: value for key, value in _SMALL.items() if key in cls.model_fields} | more)

    def given(self, recording: xr.Dataset, trials: Trials | slice = None) -> Data:
        """Return what the model is given of some trials, its inputs in their own units."""
        driven = self.driven and getattr(self, "inputs", True)
        return Data.of(recording, trials, self.sees, driven, self.blockwise)

    def learn(self, train: Data, valid: Data, run: Run) -> Learned:
        """Estimate the parameters from training trials; choices are made on the validation trials."""
        raise NotImplementedError

    def work(self, size: Size) -> Work:
        """Return how much arithmetic `learn` does at most; the default is one pass over the training bins."""
        return {"fit": 1.0, "bin": float(size.learned * size.features)}

    def held_mb(self, size: Size) -> float:
        """Return the MB that `learn` holds beside counts and blocks of trials, where they are many."""
        return 0.0

    def log_prob(self, params: Params, data: Data) -> np.ndarray:
        """Return log p(y_t | y_<t) in nats, (member, trial, time)."""
        raise NotImplementedError

    def predict(self, params: Params, data: Data) -> np.ndarray:
        """Return E[y_t | y_<t], (member, trial, time, feature); label probabilities for symbols."""
        raise NotImplementedError

    def predictive(self, params: Params, data: Data) -> Iterator[Predictive]:
        """Yield each member's distribution of every bin; nothing where a family does not know it."""
        return around_expected(self, params, data)

    def simulate(
        self, params: Params, shape: dict[str, Any], n_trials: int, n_time: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw trials of one member, running freely: (trial, time, feature), labels (trial, time)."""
        raise NotImplementedError

    def forecast(
        self, params: Params, data: Data, horizons: Sequence[int], samples: int = 128, seed: int = 0
    ) -> np.ndarray:
        """Return log p(y_t | y_0 .. y_{t-h}), nats, for each h of `horizons`, (member, trial, time, horizon).

        h = 1 is `log_prob`. NaN where t < h - 1 (at t = h - 1 nothing was observed yet) and where bin t is
        missing. `samples` and `seed`: of estimates; exact families need neither. Inputs count as known.
        """
        raise CortseqError(f"a {self.family} model has no forecast", key="horizons", fix="leave it out")

    def futures(
        self,
        params: Params,
        data: Data,
        horizons: Sequence[int],
        samples: int,
        seed: int,
        begins: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return `forecast` from futures that begin before the bins `begins` (trial, time), NaN elsewhere."""
        return begun(self.forecast(params, data, horizons, samples, seed), horizons, begins)

    def forecasts_on(self, track: str) -> Kind:
        """`forecasts` on one track."""
        return self.forecasts

    @property
    def breadth(self) -> float:
        """Return how many numbers are made of each bin and feature: blocks are so much smaller."""
        return 1.0

    @property
    def has_history(self) -> bool:
        """Whether predictions depend on what was observed before in the trial."""
        return True

    @property
    def has_forecast(self) -> bool:
        """Whether the family writes `forecast`."""
        return type(self).forecast is not Model.forecast

    @property
    def has_flow(self) -> bool:
        """Whether the fit is a dynamical system on one state (`Fit.flow`)."""
        return False

    def applies(self, track: str) -> bool:
        """Whether a study fits this specification to recordings on `track`, or leaves it out there."""
        return True

    def check(self, data: Data) -> None:
        """Raise a CortseqError if this specification cannot be fitted to such training trials."""

    def check_start(self, start: Fit, shape: dict[str, Any]) -> None:
        """Raise a CortseqError if learning cannot begin with what `start` learned.

        `shape`: what the card of the new fit will say of its recording and members.
        """
        raise CortseqError(
            f"{self.family} carries nothing over from an earlier session", key="start", fix="leave it out"
        )

    def fit(
        self,
        recording: xr.Dataset,
        train: Sequence[int],
        valid: Sequence[int],
        members: int = 1,
        seed: int = 0,
        device: str = "cpu",
        progress: Progress | bool | None = None,
        checkpoint: Checkpoint | None = None,
        start: Fit | None = None,
    ) -> Fit:
        """Fit `members` restarts to the trials `train`, choosing on the trials `valid`.

        Parameters
        ----------
        recording : a Recording. train, valid : integer positions along `trial`.
        members : restarts; families without randomness always have one. seed : of every random draw.
        device : "auto", "cpu" or "cuda".
        progress : True shows a bar, False nothing; None shows a bar on a terminal and in a notebook. A
            function is called with each line to log and, where it is known, the fraction that is done.
        checkpoint : where an unfinished fit is kept; a fit that finds its own there goes on from it and ends
            with the same bytes (CPU).
        start : an earlier fit of the same specification to another session; member m begins with what its
            member m learned.

        Raises
        ------
        CortseqError : no training trial, a trial in both roles, no member with a finite loss, or a `start` of
        another family, size, number of members, or other units.
        """
        ready = Prepared.of(self, recording, train, valid, members)
        if start is not None:
            self.check_start(start, ready.shape)
        n_members = ready.shape["members"]
        run = Run(n_members, seed, device, chosen(progress), checkpoint, start)
        learned = self.learn(*ready.seen, run)
        return Fit(self, learned.params, ready.card(learned, seed, start), learned.curves)

    def fit_sequences(
        self,
        sequences: Sequence[np.ndarray],
        n_symbols: int,
        valid: Sequence[np.ndarray] | None = None,
        **how: Any,
    ) -> Fit:
        """Fit to sequences of labels, each (time,); choices are made on `valid`, else on the same sequences.

        `how`: members, seed and so on, as of `fit`.
        """
        both = rec.from_symbols([*sequences, *(sequences if valid is None else valid)], n_symbols=n_symbols)
        n = len(sequences)
        return self.fit(both, range(n), range(n, both.sizes["trial"]), **how)
