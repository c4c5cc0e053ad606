"""Whether the statistics keep their promises: `python -m benchmarks.calibration [--contests 200]`.

    coverage   of the 95 % interval, trials drawn from the per-trial scores of a fitted pair
    level      of the sign-flip test where there is no difference
    power      to declare a gain of so many bits, against gain and number of trials
    contests   (refits) how often a network is declared better than the right model on data of a known chain
               and of a known HMM, and than the chain on data of a network

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
from scipy.stats import binomtest

from cortseq import models, store
from cortseq import recording as rec
from cortseq.data import Data
from cortseq.models.base import Model
from cortseq.scoring.statistics import PairedDifference
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
    return Measured.of("sign-flip test at 0.05", f"{trials} trials, {null}", hits, "<= 5 %")


def power(
    pair: Pair, gain: float, trials: int, repetitions: int, resamples: int = 1000, seed: int = 0
) -> Measured:
    """How often A is declared better where its true gain is `gain` bits per event."""
    hits = [better(found) for found in _repeat(pair.shifted(gain), trials, repetitions, resamples, seed)]
    return Measured.of("power", f"gain {gain:g}, {trials} trials", hits, ">= 90 % at 0.01 and 200 trials")


# -- pairs -----------------------------------------------------------------------------------------


def _model(family: str, **settings) -> Model:
    return models.registry()[family].model_validate({"family": family, **settings})


def _pair(a: Model, b: Model, recording: xr.Dataset, seed: int, share: float = 0.5) -> Pair:
    """`a` and `b` fitted to a share of the trials and scored on the rest; a sixth of the share is validation."""
    n = int(share * recording.sizes["trial"])
    train, valid, test = range(5 * n // 6), range(5 * n // 6, n), range(n, recording.sizes["trial"])
    fits = [model.fit(recording, train, valid, members=1, seed=seed) for model in (a, b)]
    mine, base = (np.nansum(f.log_prob(recording, test), -1)[0] for f in fits)
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
    return out


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
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument(
        "--contests", type=int, default=0, help="repetitions with refits; 200 take five minutes"
    )
    parser.add_argument("--study", type=Path, help="results/<study>; without it the synthetic ring")
    parser.add_argument("--pair", nargs=3, metavar=("DATASET", "A", "B"), help="variants of --study")
    parser.add_argument("--output", type=Path, default=Path("results/bench/calibration"))
    given = parser.parse_args(arguments)
    if bool(given.study) != bool(given.pair):
        parser.error("--study and --pair go together")
    pair = of_study(given.study, *given.pair) if given.study else ring()
    rows = measure(pair, given.repetitions, given.trials, given.resamples)
    rows += contests(given.contests, given.trials, resamples=given.resamples) if given.contests else []
    print(text := markdown(rows))
    store.write_text(text, given.output.with_suffix(".md"))
    content = {"gain": pair.gain, "population": len(pair.events), "rows": [asdict(r) for r in rows]}
    store.write_json(content, given.output.with_suffix(".json"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
