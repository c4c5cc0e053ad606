"""Whether the statistics keep their promises: `python -m benchmarks.calibration [--contests 200]`.

    truth      coverage of the 95 % interval and level of the test at 0.05 where two models are equally good:
               scores are drawn from a random-effects model with known spread of restarts and training sets,
               correlation of trials and number of blocks or sessions, or are those of regressions that are
               fitted anew (numpy only)
    pair       the same, and power, with trials drawn from the per-trial scores of a fitted pair
    contests   (refits) how often a network is declared better than the right model on data of a known chain
               and of a known HMM, than the chain on data of a network, and different from itself refitted

Writes a table, `<output>.md` and `<output>.json`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from scipy.signal import lfilter
from scipy.stats import binomtest

from cortseq import models, store
from cortseq import recording as rec
from cortseq.data import Data
from cortseq.models.base import Model
from cortseq.scoring import blocks
from cortseq.scoring.statistics import PairedDifference, Session, across_sessions, paired
from cortseq.scoring.units import paired_difference


@dataclass(frozen=True)
class Pair:
    """Test scores of two fitted models, nats (trial,), and events (trial,): the population trials are drawn from."""

    a: np.ndarray
    b: np.ndarray
    events: np.ndarray

    @property
    def gain(self) -> float:
        """A over B, bits per event."""
        return float((self.a - self.b).sum() / (self.events.sum() * np.log(2)))

    def shifted(self, gain: float) -> Pair:
        """The pair with A moved so that its gain over B is `gain`, in proportion to each trial's events."""
        return Pair(self.a + (gain - self.gain) * np.log(2) * self.events, self.b, self.events)


@dataclass(frozen=True)
class Measured:
    """A share over repetitions with its exact 95 % interval (Clopper & Pearson)."""

    what: str
    setting: str
    repetitions: int
    share: float
    low: float
    high: float
    wanted: str

    @classmethod
    def of(cls, what: str, setting: str, hits, wanted: str) -> Measured:
        hits = np.asarray(hits, bool)
        interval = binomtest(int(hits.sum()), len(hits)).proportion_ci(method="exact")
        return cls(what, setting, len(hits), float(hits.mean()), interval.low, interval.high, wanted)


def better(found: PairedDifference) -> bool:
    """Whether A is declared better: a two-sided p below 0.05 on its side."""
    return found.p_value < 0.05 and found.estimate > 0


def _repeat(pair: Pair, trials: int, repetitions: int, resamples: int, seed: int, flip: bool = False):
    """Comparisons of `trials` trials drawn with replacement; `flip`: A and B exchanged at random in each."""
    rng = np.random.default_rng(seed)
    for repetition in range(repetitions):
        some = rng.integers(len(pair.events), size=trials)
        a, b = pair.a[some], pair.b[some]
        if flip:
            heads = rng.random(trials) < 0.5
            a, b = np.where(heads, a, b), np.where(heads, b, a)
        yield paired_difference(a, b, pair.events[some], resamples, repetition)


def coverage(pair: Pair, trials: int, repetitions: int, resamples: int = 1000, seed: int = 0) -> Measured:
    """How often the interval holds the population's gain."""
    each = _repeat(pair, trials, repetitions, resamples, seed)
    hits = [found.low <= pair.gain <= found.high for found in each]
    return Measured.of("coverage of the 95 % interval", f"{trials} trials", hits, "93-97 %")


def level(
    pair: Pair, trials: int, repetitions: int, resamples: int = 1000, seed: int = 0, exchangeable: bool = True
) -> Measured:
    """How often a difference is declared, either way, where there is none.

    `exchangeable`: A and B are exchanged at random within trials, the test's own null. Otherwise the
    differences keep their skew and only the gain is moved to 0.
    """
    each = _repeat(pair.shifted(0.0), trials, repetitions, resamples, seed, exchangeable)
    null = "exchanged within trials" if exchangeable else "gain moved to 0"
    hits = [found.p_value < 0.05 for found in each]
    return Measured.of("difference declared", f"{trials} trials, {null}", hits, "<= 5 %")


def power(
    pair: Pair, gain: float, trials: int, repetitions: int, resamples: int = 1000, seed: int = 0
) -> Measured:
    """How often A is declared better where its true gain is `gain` bits per event."""
    hits = [better(found) for found in _repeat(pair.shifted(gain), trials, repetitions, resamples, seed)]
    return Measured.of("power", f"gain {gain:g}, {trials} trials", hits, ">= 90 % at 0.01 and 200 trials")


# -- known truth -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Truth:
    """Two models that are equally good, scored on the same trials: what the scores vary by is known.

    Scores are trial_r + restart_m + noise_mr: a trial has standard deviation 1, and the correlation rho^k with
    the trial k places away. The model without restarts scores 0.

    Attributes
    ----------
    trials : test trials.
    members : restarts of a model.
    spread : standard deviation of restarts in trial errors, the standard error of the mean over the trials.
    noise : standard deviation of the noise.
    correlation : rho.
    itself : both models have restarts of one kind, and trials that are the same for both: a model against itself
        refitted.
    continuous : trials are windows that follow each other.
    folds : training sets; the trials are dealt to as many folds.
    training : standard deviation of what training sets add to the mean over the trials, in trial errors.
    """

    trials: int
    members: int = 1
    spread: float = 0.0
    noise: float = 0.5
    correlation: float = 0.0
    itself: bool = False
    continuous: bool = False
    folds: int = 1
    training: float = 0.0

    @property
    def error(self) -> float:
        """Standard error of the mean over the trials."""
        return float(np.sqrt((1 + self.correlation) / (1 - self.correlation) / self.trials))

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Scores (member, trial) of both models."""
        rho = self.correlation
        innovations = rng.normal(size=self.trials + 100)
        trial = lfilter([np.sqrt(1 - rho**2)], [1, -rho], innovations)[100:]
        trial += self._learned(rng) if self.training else 0.0
        models = [trial + self._restarts(rng) for _ in range(1 + self.itself)]
        return models[0], models[1] if self.itself else np.zeros((1, self.trials))

    @property
    def fold(self) -> np.ndarray:
        """Fold of each trial, (trial,)."""
        return np.arange(self.trials) % self.folds

    def _learned(self, rng: np.random.Generator) -> np.ndarray:
        """What the training set of its fold adds to each trial, (trial,)."""
        each = self.training * self.error * np.sqrt(self.folds) * rng.normal(size=self.folds)
        return np.asarray(each[self.fold])

    def _restarts(self, rng: np.random.Generator) -> np.ndarray:
        if self.members == 1:
            return np.zeros((1, self.trials))
        spread = self.spread * self.error * rng.normal(size=(self.members, 1))
        return np.asarray(spread + self.noise * rng.normal(size=(self.members, self.trials)))

    def compare(self, repetitions: int, resamples: int = 1000, seed: int = 0) -> list[PairedDifference]:
        """Comparisons of the two models on as many draws."""
        rng, shortest = (
            np.random.default_rng([seed, self.trials]),
            blocks.shortest(self.trials, self.continuous),
        )
        found = []
        events = np.ones(self.trials)
        for repetition in range(repetitions):
            a, b = self.draw(rng)
            found.append(paired(a, b, events, resamples, repetition, shortest=shortest, folds=self.fold))
        return found


@dataclass(frozen=True)
class Refitted:
    """A regression against a constant, both fitted anew in every fold and equally good on average.

    y = x b + noise of variance 1, x and noise normal, with p weights b of one size. Least squares learns p
    weights from n trials at the cost of p / (n - p - 1) of the variance of its errors, a mean at 1 / n:
    the size of b is the one at which both predict equally well.

    Attributes
    ----------
    trials, predictors, folds : their numbers.
    """

    trials: int
    predictors: int
    folds: int
    members: int = 1

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Scores (trial,) of the regression and of the constant, nats of a normal distribution of variance 1."""
        p, learned = self.predictors, self.trials * (self.folds - 1) // self.folds
        size = ((1 + p / (learned - p - 1)) / (1 + 1 / learned) - 1) / p
        x = rng.normal(size=(self.trials, p))
        y = x.sum(1) * np.sqrt(size) + rng.normal(size=self.trials)
        error = np.empty((2, self.trials))
        for fold in range(self.folds):
            test = np.arange(self.trials) % self.folds == fold
            weights = np.linalg.lstsq(x[~test], y[~test], rcond=None)[0]
            error[:, test] = y[test] - x[test] @ weights, y[test] - y[~test].mean()
        return -0.5 * error[0] ** 2, -0.5 * error[1] ** 2

    def compare(self, repetitions: int, resamples: int = 1000, seed: int = 0) -> list[PairedDifference]:
        """Comparisons of the two models on as many draws."""
        rng, fold = np.random.default_rng([seed, self.trials]), np.arange(self.trials) % self.folds
        scores = (self.draw(rng) for _ in range(repetitions))
        return [
            paired(a, b, np.ones(self.trials), resamples, i, folds=fold) for i, (a, b) in enumerate(scores)
        ]


def sessions(n: int, repetitions: int, trials: int = 50, members: int = 3) -> list[PairedDifference]:
    """Sessions that differ by as much as the errors of each, pooled; a mean difference of 0 over sessions."""
    rng, truth = np.random.default_rng([n, trials]), Truth(trials, members, 1.0)
    found = []
    for _ in range(repetitions):
        effects = truth.error * rng.normal(size=n)
        parts = [
            Session(truth.draw(rng)[0] + effect, np.zeros(trials), np.ones(trials)) for effect in effects
        ]
        found.append(across_sessions(parts))
    return found


def cells() -> dict[str, Truth | Refitted]:
    """Every setting of the table, by name."""
    out: dict[str, Truth | Refitted] = {}
    for members in (2, 3, 5, 10):
        for spread in (0.0, 0.5, 1.0, 2.0, 4.0):
            out[f"200 trials, {members} members, member sd {spread:g} trial errors"] = Truth(
                200, members, spread
            )
    for members in (3, 5, 10):
        for spread in (0.5, 2.0):
            name = (
                f"a model against itself refitted, {members} members each, member sd {spread:g} trial errors"
            )
            out[name] = Truth(200, members, spread, itself=True)
    for correlation in (0.0, 0.3, 0.6):
        for windows in (19, 40, 100, 200, 400):
            name = f"{windows} windows of a continuous recording, correlation {correlation:g}"
            out[name] = Truth(windows, correlation=correlation, continuous=True)
    for trials in (6, 50, 100, 200):
        out[f"{trials} independent trials"] = Truth(trials)
    for trials in (50, 100, 200):
        for members in (1, 5):
            name = f"{trials} trials correlated 0.4 along the session, {members} member{'s' * (members > 1)}"
            out[name] = Truth(trials, members, 1.0, correlation=0.4)
    for trials in (14, 20, 30):
        out[f"{trials} trials correlated 0.4 along the session, 1 member"] = Truth(trials, correlation=0.4)
    return out | _of_folds()


def _of_folds() -> dict[str, Truth | Refitted]:
    """Settings in which training sets vary."""
    out: dict[str, Truth | Refitted] = {}
    for folds in (3, 5, 10):
        for training in (0.0, 0.5, 1.0, 2.0, 4.0):
            name = f"200 trials in {folds} folds, training sets' sd {training:g} trial errors"
            out[name] = Truth(200, folds=folds, training=training)
    name = "200 trials in 5 folds, 5 members, sd of both 1 trial error"
    out[name] = Truth(200, 5, 1.0, folds=5, training=1.0)
    for trials, predictors in ((60, 25), (100, 5), (300, 25)):
        for folds in (5, 10):
            name = f"regression on {predictors} predictors refitted in {folds} folds, {trials} trials"
            out[name] = Refitted(trials, predictors, folds)
    return out


@dataclass(frozen=True)
class Promise:
    """What comparisons of two equally good models come to, over repetitions."""

    setting: str
    blocks: int  # median
    coverage: Measured
    level: Measured

    @classmethod
    def of(cls, setting: str, found: list[PairedDifference], two_members: bool = False) -> Promise:
        inside = [f.low <= 0 <= f.high for f in found]
        rejected = [f.p_value < 0.05 for f in found]
        wanted = (">= 90 %", "<= 10 %") if two_members else ("93-97 %", "3-7 %")
        return cls(
            setting,
            int(np.median([f.pieces for f in found])),
            Measured.of("coverage of the 95 % interval", setting, inside, wanted[0]),
            Measured.of("difference declared", setting, rejected, wanted[1]),
        )


def truths(repetitions: int, resamples: int = 1000) -> list[Promise]:
    """Coverage and level of every cell, and over sessions."""
    found = [
        Promise.of(name, truth.compare(repetitions, resamples, i), truth.members == 2)
        for i, (name, truth) in enumerate(cells().items())
    ]
    pooled = {n: sessions(n, repetitions) for n in (3, 5, 10)}
    return found + [Promise.of(f"{n} sessions of 50 trials, 3 members", f) for n, f in pooled.items()]


def promises(rows: list[Promise]) -> str:
    """A line of Markdown a setting."""
    lines = ["| setting | blocks | coverage | wanted | declared | wanted |", "|---|---:|---|---|---|---|"]
    for row in rows:
        entries = [f"{row.setting}", f"{row.blocks}"]
        for m in (row.coverage, row.level):
            entries += [f"{100 * m.share:.1f} % ({100 * m.low:.1f}-{100 * m.high:.1f})", m.wanted]
        lines.append(f"| {' | '.join(entries)} |")
    return "\n".join(lines) + "\n"


# -- pairs -----------------------------------------------------------------------------------------


def _model(family: str, **settings) -> Model:
    return models.registry()[family].model_validate({"family": family, **settings})


def _pair(a: Model, b: Model, recording: xr.Dataset, seed: int, share: float = 0.5) -> Pair:
    """`a` and `b` fitted to a share of the trials and scored on the rest; a sixth of the share is validation."""
    n = int(share * recording.sizes["trial"])
    train, valid, test = range(5 * n // 6), range(5 * n // 6, n), range(n, recording.sizes["trial"])
    fits = [model.fit(recording, train, valid, members=1, seed=seed) for model in (a, b)]
    mine, base = (np.nansum(f.log_prob(recording, test).values, -1)[0] for f in fits)
    return Pair(mine, base, Data.of(recording, test).n_events().sum(1).astype(float))


def ring(trials: int = 600, units: int = 20, seed: int = 0, epochs: int = 60) -> Pair:
    """A rate network over a chain of 16 states on the synthetic ring."""
    from cortseq import preprocess, sources

    source = sources.registry()["synthetic"].model_validate(
        {"source": "synthetic", "kind": "ring", "trials": trials, "units": units, "bins": 40}
    )
    recording = preprocess.preprocess(source.load(None, seed), source)
    network, chain = _model("rate", hidden=16, epochs=epochs), _model("markov", states=16)
    return _pair(network, chain, recording, seed)


def of_study(out: Path, dataset: str, a: str, b: str) -> Pair:
    """Two variants of a finished study, by name: member 0 on the test trials of all folds, bins as scored."""
    parts: list[list[np.ndarray]] = [[], []]
    events = []
    for i, variant in enumerate((a, b)):
        for file in sorted((out / "scores" / dataset / variant).glob("fold*.zarr.zip")):
            score = store.read(file)
            late = score.isel(time=slice(score.attrs["burn_in"], None))
            test = late.isel(trial=np.flatnonzero(score["role"].values == "test"))
            parts[i].append(test["log_prob"][0].sum("time").values)
            if i == 0:
                events.append(test["n_events"].sum("time").values.astype(float))
    return Pair(np.concatenate(parts[0]), np.concatenate(parts[1]), np.concatenate(events))


# -- contests --------------------------------------------------------------------------------------


def chain_data(seed: int, trials: int, bins: int = 30, labels: int = 4) -> xr.Dataset:
    """Sequences of a Markov chain with Dirichlet(1) rows, a new chain for every seed."""
    rng = np.random.default_rng([seed, 1])
    rows = rng.dirichlet(np.ones(labels), labels).cumsum(1)
    s = np.empty((trials, bins), int)
    s[:, 0] = rng.integers(labels, size=trials)
    for t in range(1, bins):
        s[:, t] = (rng.random((trials, 1)) > rows[s[:, t - 1], :-1]).sum(1)
    return rec.from_symbols(list(s), n_symbols=labels)


def hmm_data(seed: int, trials: int, bins: int = 30, states: int = 3, units: int = 6) -> xr.Dataset:
    """Counts of a Poisson HMM that stays with probability 0.9; rates Gamma(1) / 2 per bin, new for every seed."""
    rng = np.random.default_rng([seed, 2])
    rates = rng.gamma(1.0, 0.5, (states, units))
    s = rng.integers(states, size=(trials, 1)) * np.ones((1, bins), int)
    for t in range(1, bins):
        moves = rng.random(trials) < 0.1
        s[:, t] = np.where(moves, (s[:, t - 1] + rng.integers(1, states, trials)) % states, s[:, t - 1])
    return rec.from_counts(rng.poisson(rates[s]), bin_width=0.02)


def network_data(seed: int, trials: int, bins: int = 30) -> xr.Dataset:
    """Labels whose chance follows a slow sum of all earlier ones: a network with memory, no chain of low order.

    h' = 0.95 h + x with x = +-1 for labels 1 and 0; p(1) = 1 / (1 + exp(-0.4 h)).
    """
    rng = np.random.default_rng([seed, 3])
    h, s = np.zeros(trials), np.empty((trials, bins), int)
    for t in range(bins):
        s[:, t] = rng.random(trials) < 1 / (1 + np.exp(-0.4 * h))
        h = 0.95 * h + 2 * s[:, t] - 1
    return rec.from_symbols(list(s), n_symbols=2)


def contest(
    draw: Callable[[int, int], xr.Dataset],
    network: Model,
    right: Model,
    seed: int,
    trials: int,
    resamples: int,
) -> PairedDifference:
    """Network over `right`, both fitted to fresh data, on fresh test trials."""
    pair = _pair(network, right, draw(seed, 2 * trials), seed)
    return paired_difference(pair.a, pair.b, pair.events, resamples, seed)


def itself(
    seed: int, trials: int, members: int = 3, epochs: int = 60, resamples: int = 1000
) -> PairedDifference:
    """A network against itself: restarts of one fit to data of a chain, dealt into two models."""
    n, recording = trials, chain_data(seed, 2 * trials)
    train, valid, test = range(5 * n // 6), range(5 * n // 6, n), range(n, 2 * n)
    fit = _model("rate", hidden=12, epochs=epochs).fit(
        recording, train, valid, members=2 * members, seed=seed
    )
    nats, events = (
        np.nansum(fit.log_prob(recording, test).values, -1),
        Data.of(recording, test).n_events().sum(1),
    )
    return paired_difference(nats[:members], nats[members:], events.astype(float), resamples, seed)


def contests(repetitions: int, trials: int = 200, epochs: int = 60, resamples: int = 1000) -> list[Measured]:
    """Networks against the right model, refitted each time. The HMM contest needs the family `hmm`."""
    network = _model("rate", hidden=12, epochs=epochs)
    entered = [
        ("chain", chain_data, _model("markov", order=1), "<= 5 %"),
        ("network", network_data, _model("markov", order=2), ">= 90 %"),
    ]
    if "hmm" in models.registry():
        entered.insert(1, ("HMM", hmm_data, _model("hmm", states=3), "<= 5 %"))
    out = []
    for name, draw, right, wanted in entered:
        found = [contest(draw, network, right, seed, trials, resamples) for seed in range(repetitions)]
        gain = np.mean([f.estimate for f in found])
        setting = f"data of a {name}, {trials} test trials, mean gain {gain:+.4f} bits"
        out.append(
            Measured.of(
                f"network declared better than the {right.family}", setting, [*map(better, found)], wanted
            )
        )
    refitted = [itself(seed, trials, epochs=epochs, resamples=resamples) for seed in range(repetitions)]
    hits = [found.p_value < 0.05 for found in refitted]
    setting = f"data of a chain, {trials} test trials, 3 members each"
    return [*out, Measured.of("network declared different from itself refitted", setting, hits, "3-7 %")]


# -- the table -------------------------------------------------------------------------------------

GAINS, TRIALS = (0.002, 0.005, 0.01, 0.02, 0.05), (50, 100, 200, 400)


def measure(pair: Pair, repetitions: int, trials: int = 200, resamples: int = 1000) -> list[Measured]:
    """Coverage and level at `trials` and a quarter of them, power over the grid of GAINS and TRIALS."""
    rows = []
    for n in (trials // 4, trials):
        rows.append(coverage(pair, n, repetitions, resamples))
        rows += [level(pair, n, repetitions, resamples, exchangeable=e) for e in (True, False)]
    few = max(repetitions // 10, 1)
    return rows + [power(pair, gain, n, few, resamples) for gain in GAINS for n in TRIALS]


def markdown(rows: list[Measured]) -> str:
    lines = ["| what | setting | repetitions | measured | 95 % | wanted |", "|---|---|---|---|---|---|"]
    for r in rows:
        interval = f"{100 * r.low:.1f}-{100 * r.high:.1f} %"
        cells = (r.what, r.setting, r.repetitions, f"{100 * r.share:.1f} %", interval, r.wanted)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration", description=__doc__)
    parser.add_argument(
        "--repetitions", type=int, default=2000, help="of coverage and level; a tenth for power"
    )
    parser.add_argument("--truth-only", action="store_true", help="no model is fitted; about five minutes")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument(
        "--contests", type=int, default=0, help="repetitions with refits; 200 take twenty minutes"
    )
    parser.add_argument("--study", type=Path, help="results/<study>; without it the synthetic ring")
    parser.add_argument("--pair", nargs=3, metavar=("DATASET", "A", "B"), help="variants of --study")
    parser.add_argument("--output", type=Path, default=Path("results/bench/calibration"))
    given = parser.parse_args(arguments)
    if bool(given.study) != bool(given.pair):
        parser.error("--study and --pair go together")
    known = [] if given.study else truths(given.repetitions, given.resamples)
    rows: list[Measured] = []
    content: dict = {"truth": [asdict(p) for p in known]}
    if not given.truth_only:
        pair = of_study(given.study, *given.pair) if given.study else ring()
        rows += measure(pair, given.repetitions, given.trials, given.resamples)
        content |= {"gain": pair.gain, "population": len(pair.events)}
    if given.contests:
        rows += contests(given.contests, given.trials, resamples=given.resamples)
    print(text := "\n".join([promises(known)] * bool(known) + [markdown(rows)] * bool(rows)))
    store.write_text(text, given.output.with_suffix(".md"))
    store.write_json(content | {"rows": [asdict(r) for r in rows]}, given.output.with_suffix(".json"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
