"""What a model becomes when it is fitted: the specification and the arrays it learned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cortseq import recording as rec
from cortseq._lazy import xr
from cortseq.data import Data, Trials, check_card
from cortseq.errors import CortseqError
from cortseq.models import labelled
from cortseq.models.gain import over_null
from cortseq.models.horizons import jackknifed
from cortseq.models.saved import Saved
from cortseq.scaling import Scale

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure

    from cortseq.flow import Flow
    from cortseq.networks.member import Member
    from cortseq.networks.module import Module

Floats = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Fit(Saved):
    """A Model and what it learned."""

    def plot(self, recording: xr.Dataset | None = None, trials: Trials = None) -> Figure:
        """Draw the training curves, or with a recording what the fit predicts in a typical trial.

        Parameters
        ----------
        recording : None: loss against epoch, of networks. Else recorded bins beside predicted ones.
        trials : of which the one with the median number of events is drawn; None: the held-out ones.
        """
        import cortseq

        return cortseq.plot(self, recording, trials)

    def _data(self, recording: xr.Dataset, trials: Trials | slice) -> Data:
        data = Scale.known(self.card).applied(self.model.given(recording, trials))
        check_card(data, self.card)
        if not len(data.y):
            raise CortseqError("there is no trial to predict", key="trials", fix="give at least one position")
        return data.within(self.card["support"])  # the fit's own, as its alphabet

    def _by_block(self, recording: xr.Dataset, trials: Trials, function: Callable[[Data], Floats]) -> Floats:
        """Return `function` of the data, (member, trial, ...), computed in blocks of trials."""
        parts = rec.blocks(recording, trials, self.model.breadth)
        found = [function(self._data(recording, part)) for part in parts]
        return found[0] if len(found) == 1 else np.concatenate(found, 1)

    def log_prob(self, recording: xr.Dataset, trials: Trials = None) -> xr.DataArray:
        """Return log p(y_t | y_<t) in nats, (member, trial, time); NaN where a bin is missing."""
        found = self._by_block(recording, trials, lambda d: d.masked(self.model.log_prob(self.params, d)))
        return labelled.log_probs(found, recording, trials)

    def score(self, recording: xr.Dataset, trials: Trials = None, null: Fit | None = None) -> float:
        """Return how much better the fit predicts than the null; higher is better, 0 is the null.

        The null predicts the mean of the training trials in every bin. The value is the one of
        `comparison.csv`, mean over members, without burn-in: bits per spike of counts, bits per symbol, nats
        per sample of signals.

        Parameters
        ----------
        recording : the recording that was fitted, of which the null is made.
        trials : positions along `trial`; None: all that are neither training nor validation trials.
        null : a fit of `cortseq.models.Null`, for another recording; `trials` None: all of them.

        Raises
        ------
        CortseqError : another recording without a `null`, or trials without an event.
        """
        return over_null(self, recording, trials, null)

    def log_prob_sequences(self, sequences: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the nats of each symbol, (time,) per sequence (time,), mean over members."""
        padded = rec.from_symbols(sequences, n_symbols=self.card["n_features"])
        scores = self.log_prob(padded).values.mean(0)
        return [row[: len(s)] for row, s in zip(scores, sequences, strict=True)]

    def predict(self, recording: xr.Dataset, trials: Trials = None) -> xr.DataArray:
        """Return expected counts per bin (member, trial, time, unit), with the names of units.

        Of signals means by `channel`, of labels probabilities by `symbol`. NaN where a bin is missing.
        """

        def expected(data: Data) -> Floats:
            return np.where(data.valid[..., None], self.model.predict(self.params, data), np.nan)

        return labelled.predictions(self._by_block(recording, trials, expected), recording, trials)

    def forecast(
        self,
        recording: xr.Dataset,
        horizons: Sequence[int],
        trials: Trials = None,
        samples: int = 128,
        seed: int = 0,
    ) -> Floats:
        """Return log p(y_t | y_0 .. y_{t-h}), nats, (member, trial, time, horizon) for each h of `horizons`.

        NaN where bin t is missing or nothing was observed yet. Where there is no exact forecast
        (`model.forecasts_on`), `samples` >= 4 futures are drawn with `seed`; see `horizons.jackknifed`.
        """
        data = self._data(recording, trials)
        draw = partial(self.model.forecast, self.params, data, horizons)
        sampled = self.model.forecasts_on(data.track) == "sampled"
        return jackknifed(draw, samples, seed) if sampled else draw()

    def plug_in(self, recording: xr.Dataset, horizons: Sequence[int], trials: Trials = None) -> Floats:
        """Return `forecast` with expectations fed forward, (member, trial, time, horizon): no likelihood."""
        model, data = self._network("forecast of this kind"), self._data(recording, trials)
        return np.asarray(model.plug_in(self.params, data, horizons))

    def squared_error(self, recording: xr.Dataset, horizons: Sequence[int], trials: Trials = None) -> Any:
        """Return squared errors of a network's expectations of a signal, as `plug_in`; in variances."""
        model, data = self._network("expectation ahead"), self._data(recording, trials)
        if not data.kind.has_scale:
            raise CortseqError("squared errors are of signals", key="track", value=data.track)
        return np.asarray(model.squared_error(self.params, data, horizons))

    def recall(self, recording: xr.Dataset, memories: Sequence[int], trials: Trials = None) -> Floats:
        """Return log p(y_t | the last k bins) of a recurrent fit, nats, (memory, member, trial, time)."""
        data = self._data(recording, trials)
        return data.masked(self._network("memory").recall(self.params, data, memories))

    def states(self, recording: xr.Dataset, trials: Trials = None) -> xr.DataArray:
        """Flat states of a recurrent fit before each bin, teacher-forced, (member, trial, time, dim).

        NaN where a bin is missing; `through_gaps` has the states of these bins, too.
        """
        return labelled.states(self.through_gaps(recording, trials), recording, trials)

    def through_gaps(self, recording: xr.Dataset, trials: Trials = None) -> Floats:
        """Return `states` as a plain array, also those of missing bins, which a network runs through."""
        return np.asarray(self._network("state").states(self.params, self._data(recording, trials)))

    def _network(self, what: str) -> Any:
        """Return the model of a recurrent fit, or raise an error that says what another family lacks."""
        if self.model.role != "recurrent":
            raise CortseqError(f"a {self.model.family} model has no {what}", fix="choose a recurrent model")
        return self.model

    def simulate(
        self, n_trials: int, n_time: int, member: int = 0, seed: int = 0, inputs: Any = None
    ) -> xr.Dataset:
        """Draw a Recording from the fitted model, which runs freely from its start state.

        `inputs` (trial, time, input) in their own units are replayed; a model that sees inputs needs them.
        """
        self._check_member(member)
        rng = np.random.default_rng([seed, member])
        chosen = {name: value[member] for name, value in self.params.items()}
        known = Scale.known(self.card).replayed(inputs, (n_trials, n_time))
        drawn = self.model.simulate(chosen, self.card | {"drive": known}, n_trials, n_time, rng)
        shape = {key: self.card[key] for key in ("track", "bin_width", "n_features", "observation")}
        return rec.from_drawn(drawn=drawn, **shape)

    def flow(
        self, member: int = 0, map: str = "closed", input: Any = None, seed: int = 0, inputs: Any = None
    ) -> Flow:
        """Return the dynamical system of one member: see `Recurrent.flow`."""
        model = self._network("flow")
        self._check_member(member)
        found: Flow = model.flow(self.params, self.card, member, map, input, seed, inputs)
        return found

    def expected(self, states: Any, member: int = 0) -> Floats:
        """E[y | s] of flat states (..., dim) of a recurrent fit: what the closed loop feeds back."""
        return self.member(member).expected(states)

    def member(self, member: int = 0) -> Member:
        """One member of a recurrent fit as a network in float64: its parameters, weights, step and drive."""
        model = self._network("state")
        self._check_member(member)
        found: Member = model.member(self.params, self.card, member)
        return found

    def to_xarray(self, recording: xr.Dataset, trials: Trials = None) -> xr.Dataset:
        """Return `log_prob`, `predicted` and, of networks, `states` of some trials as one Dataset.

        See `log_prob`, `predict` and `states`; `trials`: positions along `trial`, None: all.
        """
        arrays = [self.log_prob(recording, trials), self.predict(recording, trials)]
        if self.model.role == "recurrent":
            arrays.append(self.states(recording, trials))
        about = {"model": repr(self.model), "bin_width": float(recording.attrs["bin_width"])}
        return xr.Dataset({array.name: array for array in arrays}, attrs=about)

    def to_torch(self, member: int = 0, dtype: torch.dtype | None = None) -> Module:
        """Return one member of a network as a `torch.nn.Module`, which can be trained further.

        Called with observations (batch, time, feature) it returns "mean", "eta" and "states" for
        every bin from the bins before it; see `cortseq.networks.module.Module`. `from_torch` leads back.

        Parameters
        ----------
        member : which restart.
        dtype : of parameters and results; None: float32, in which networks are trained.

        Raises
        ------
        CortseqError : a model that is no network, or one that sees population states.
        """
        return self.member(member).to_torch(Scale.known(self.card), dtype)

    def from_torch(self, module: Module) -> Fit:
        """Return a fit of one member with the parameters of a module that `to_torch` of this fit made.

        The card says that they were changed (`changed_outside`); there are no curves.

        Parameters
        ----------
        module : with parameters of the same names and shapes.

        Raises
        ------
        CortseqError : names or shapes that are not those of this fit.
        """
        params = module.parameters_of(self.params)
        card = self.card | {"members": 1, "changed_outside": True}
        return replace(self, params=params, card=card, curves=self.curves.iloc[:0])
