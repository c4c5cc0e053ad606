"""What Markov chains and context trees share: labels or states, the mixture, forecasts, sampling."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from cortseq._lazy import special
from cortseq.data import Data, Params
from cortseq.memory import block_numbers
from cortseq.models.base import Fit, Kind, Learned, Model, Run
from cortseq.models.chains import chain, encoder, smoothing
from cortseq.models.horizons import farthest, reached
from cortseq.models.predictive import Predictive
from cortseq.models.work import Size, Work
from cortseq.observations import TRACKS, emission_of, with_dispersion

_AT_ONCE = 5_000_000  # numbers in the largest temporary array
_DISPERSION_BINS, _DISPERSION_ROUNDS = 30_000, 5  # training bins and rounds of EM for the dispersions


@dataclass(frozen=True)
class Bins:
    """Bins to choose on: the labels (trial, time), and p(y | label) up to a factor per bin, (bin, label)."""

    labels: np.ndarray
    valid: np.ndarray
    likelihood: Callable[[], np.ndarray]


@dataclass(frozen=True)
class _Found:
    """Parameters, their score on the validation bins (nats), the card, and how many they were chosen of."""

    score: float
    params: Params
    card: dict[str, Any]
    tried: int


class StateChain(Model):
    """Abstract: a chain over labels. A family says how long its contexts are and how counts become a table.

    On symbols the labels are the symbols. On counts and signals they are population states (see `encoder`),
    and a bin is predicted by the normalised mixture p(y_t | past) = sum_j P(j | context_t) p(y_t | state j).
    """

    role: ClassVar = "markov"
    blockwise: ClassVar = True
    chooses: ClassVar = False  # see `fit_sequences`
    idle: ClassVar = {"symbols": ("states", "restarts")}

    states: int
    restarts: int

    @property
    def length(self) -> int:
        """Labels in the longest context."""
        raise NotImplementedError

    def tables(
        self, counts: chain.Table, m: int, train: Bins, held_out: Bins | None
    ) -> Iterator[tuple[chain.Table, dict[str, Any]]]:
        """Smoothed tables to choose from on validation, each with what the card says of it.

        held_out is None where there is no validation bin.
        """
        raise NotImplementedError

    def fit_sequences(
        self,
        sequences: Sequence[np.ndarray],
        n_symbols: int,
        valid: Sequence[np.ndarray] | None = None,
        **how: Any,
    ) -> Fit:
        """Fit to sequences of labels 0 .. n_symbols - 1, each (time,); choices are made on `valid`.

        Without it the validation set is one empty sequence, and nothing is chosen on what was learned from:
        see `tables` of the family. `how`: seed and so on, as of `fit`.
        """
        return super().fit_sequences(
            sequences, n_symbols, [np.zeros(0, int)] if valid is None else valid, **how
        )

    def work(self, size: Size) -> Work:
        """Return the arithmetic of clustering for each decay, of the contexts and of the prediction."""
        states = size.features if TRACKS[size.track].has_labels else self.states
        clustered = 0 if TRACKS[size.track].has_labels else size.learned * states * size.features
        return {
            "fit": 1.0,
            "cluster": float(clustered * self.restarts),
            "context": float(size.learned * (self.length + 1)),
            "prediction": float((size.learned + size.valid * size.bins) * states),
        }

    def learn(self, train: Data, valid: Data, run: Run) -> Learned:
        """Choose the decay of the encoder and the smoothing of the chain on validation."""
        decay, tried = 0.0, []
        if not train.kind.has_labels:
            for d in encoder.DECAYS:
                tried.append(self._best(train, valid, d, run.seed, quick=True))
                run.progress(f"{self.family}: decay {d}, validation {tried[-1].score:.1f} nats")
            decay = encoder.DECAYS[np.argmax([found.score for found in tried])]
        best = self._best(train, valid, decay, run.seed)
        m = self._n_labels(train)
        n_free = chain.n_contexts(best.params, self.length) * (m - 1)
        n_free += 0 if train.kind.has_labels else m * train.n_features
        n_free += best.params["dispersion"].size if "dispersion" in best.params else 0
        card = {**best.card, "chosen": {"decay": decay, **best.card.get("chosen", {})}}
        card["settings_tried"] = sum(found.tried for found in tried) or best.tried
        return Learned({k: v[None] for k, v in best.params.items()}, n_free, card=card)

    def _best(self, train: Data, valid: Data, decay: float, seed: int, quick: bool = False) -> _Found:
        """Return the table that predicts the validation bins best, with population states of one decay."""
        learned, labels = encoder.learn(train, decay, self.states, self.restarts, seed, quick)
        m = self._n_labels(train)
        counts = chain.count(labels, train.valid, m, self.length)
        if train.kind.has_events:
            learned |= self._dispersion(learned, counts, train, labels)
        unseen = encoder.labels(learned, valid)
        held_out = self._bins(learned, valid, unseen) if valid.valid.any() else None
        found = []
        for table, card in self.tables(counts, m, self._bins(learned, train, labels), held_out):
            params = learned | table
            score = float(np.sum(self._score(params, valid, unseen)[valid.valid]))
            found.append(_Found(score, params, card, 0))
        return replace(max(found, key=lambda f: f.score), tried=len(found))

    def _dispersion(self, p: Params, counts: chain.Table, train: Data, labels: np.ndarray) -> Params:
        """One dispersion per unit: EM on the predictive mixture, rates and (Witten-Bell) transitions held.

        It starts from each bin's own state, which saw that bin and would leave too little to explain.
        """
        emission, m = emission_of(train), self.states
        every = -(-train.valid.size // min(_DISPERSION_BINS, _AT_ONCE // m))
        labels, valid, y = labels[::every], train.valid[::every], train.y[::every]
        y, weight = y[valid].astype(np.int32) if y.dtype.kind == "u" else y[valid], np.eye(m)[labels[valid]]
        found = emission.dispersion(p["rate"], weight.sum(0), weight.T @ y, y)
        if not found:
            return {}
        model = chain.Chain(smoothing.witten_bell(counts, m), m)
        rows = np.log(model.rows(model.contexts(labels, valid)[valid]))
        for _ in range(_DISPERSION_ROUNDS):
            weight = special.softmax(rows + emission.log_prob_states(p | found, y), axis=1)
            found = emission.dispersion(p["rate"], weight.sum(0), weight.T @ y, y)
        return found

    def _bins(self, learned: Params, data: Data, labels: np.ndarray) -> Bins:
        return Bins(labels, data.valid, lambda: encoder.likelihood(learned, data)[0][data.valid])

    def _n_labels(self, data: Data) -> int:
        return data.n_features if data.kind.has_labels else self.states

    def log_prob(self, params: Params, data: Data) -> np.ndarray:
        """Return log p(y_t | y_<t) in nats, (1, trial, time)."""
        p = {k: v[0] for k, v in params.items()}
        return self._score(p, data, encoder.labels(p, data))[None]

    def _score(self, p: Params, data: Data, labels: np.ndarray) -> np.ndarray:
        """Return log sum_j P(j | context) p(y | j); every smoothing leaves P(j | context) > 0."""
        model, contexts = self._contexts(p, data, labels)
        out = np.empty(contexts.shape)
        compact = data.y.size if data.y.dtype.kind == "u" else 0
        for part in _parts(contexts, model.m, compact):
            weight, peak = encoder.likelihood(p, data, part)
            out[part] = np.log(np.einsum("rtj,rtj->rt", model.rows(contexts[part]), weight)) + peak
        return out

    def _contexts(self, p: Params, data: Data, labels: np.ndarray) -> tuple[chain.Chain, np.ndarray]:
        model = chain.Chain(p, self._n_labels(data))
        return model, model.contexts(labels, data.valid)

    def predict(self, params: Params, data: Data) -> np.ndarray:
        """Return E[y_t | y_<t], (1, trial, time, feature); label probabilities for symbols."""
        p = {k: v[0] for k, v in params.items()}
        model, contexts = self._contexts(p, data, encoder.labels(p, data))
        means = None if data.kind.has_labels else emission_of(data).mean(p)
        distinct, back = np.unique(contexts, return_inverse=True)
        rows = (model.rows(distinct[part]) for part in _parts(distinct, model.m))
        # not a matrix product: its last bits depend on how many contexts there are, and later bins bring more
        expected = np.concatenate([q if means is None else np.einsum("cj,jf->cf", q, means) for q in rows])
        return expected[back.reshape(contexts.shape)][None]

    def predictive(self, params: Params, data: Data) -> Iterator[Predictive]:
        """Yield the mixture of every bin: the emissions of all states, weighted by P(state | context)."""
        p = {k: v[0] for k, v in params.items()}
        model, contexts = self._contexts(p, data, encoder.labels(p, data))
        emitted: Params = {k: p[k] for k in ("rate", "mean", "sd", "dispersion") if k in p}
        yield Predictive(emitted, model.rows(contexts))

    def forecasts_on(self, track: str) -> Kind:
        """Say "exact" of symbols; of population states that a forecast walks their label chain.

        The one-step law there gives the state of the bin just seen, smoothed counts and all; further ahead
        the labels of unseen bins follow each other as the chain says, which is another law.
        """
        return "exact" if TRACKS[track].has_labels else "label chain"

    def forecast(
        self, params: Params, data: Data, horizons: Sequence[int], samples: int = 128, seed: int = 0
    ) -> np.ndarray:
        """Return log p(y_t | y_0 .. y_{t-h}) in nats, (member, trial, time, horizon); of symbols exactly.

        Labels go on from the context after bin t-h as the chain says, h - 1 of them unseen:
        p = sum_j P(label_t = j | context) p(y_t | j). `samples` and `seed` are not needed.
        NaN where t < h - 1 and where bin t is missing.
        """
        p = {k: v[0] for k, v in params.items()}
        model, contexts = self._contexts(p, data, encoder.labels(p, data))
        n_time, known = contexts.shape[1], reached(data, horizons)
        peak = np.concatenate([encoder.likelihood(p, data, part)[1] for part in _parts(contexts, model.m)])
        total = np.zeros((*contexts.shape, len(horizons)))
        at_once = max(1, _AT_ONCE // max(int(model.offsets[-1]), contexts.size))
        for labels in np.array_split(np.arange(model.m), -(-model.m // at_once)):
            weight, _ = encoder.likelihood(p, data, chosen=labels, peak=peak)
            for h, ahead in enumerate(model.futures(min(farthest(horizons), n_time), labels), 1):
                for i in np.flatnonzero(np.equal(horizons, h)):
                    rows = ahead[contexts[:, : n_time - h + 1]]
                    total[:, h - 1 :, i] += (rows * weight[:, h - 1 :]).sum(-1)
        return np.asarray(
            (np.log(total, where=known, out=np.full(total.shape, np.nan)) + peak[..., None])[None]
        )

    def simulate(
        self, params: Params, shape: dict[str, Any], n_trials: int, n_time: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw states, and bins from them, (trial, time, feature); labels (trial, time)."""
        track, n = TRACKS[shape["track"]], shape["n_features"]
        model = chain.Chain(params, n if track.has_labels else self.states)
        labels = np.zeros((n_trials, n_time + 1), np.int64)
        known = np.zeros(labels.shape, bool)
        drawn, smooth = [], None
        for t in range(n_time):
            window = slice(max(0, t - self.length), t + 1)
            rows = model.rows(model.contexts(labels[:, window], known[:, window])[:, -1])
            state = (rng.random((n_trials, 1)) > rows.cumsum(-1)[:, :-1]).sum(-1)
            if not track.has_labels:
                chosen: Params = {k: params[k][state] for k in ("rate", "mean", "sd") if k in params}
                chosen = with_dispersion(chosen, params)
                drawn.append(emission_of(shape).draw(chosen, rng))
                smooth = encoder.smooth_step(smooth, drawn[-1], float(params["decay"][0]))
                state = encoder.nearest(track.rooted(smooth), params["centroids"])
            labels[:, t], known[:, t] = state, True
        return labels[:, :n_time] if track.has_labels else np.stack(drawn, 1)


def _parts(contexts: np.ndarray, m: int, recorded: int = 0) -> list[np.ndarray]:
    """Positions along the first axis, so divided that m numbers per context are not too many at once.

    `recorded`: compact observations in all, of which a block's are widened at once (`Data.blocks`).
    """
    n = max(1, contexts.size * m // _AT_ONCE, recorded // block_numbers())
    return np.array_split(np.arange(len(contexts)), n)
