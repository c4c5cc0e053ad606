"""Dale's law, structure in the weights, and the balance of strong excitation and inhibition.

1. With Dale's law the eigenvalues fill a disc of radius R = sqrt(N (f sigma_E^2 + (1 - f) sigma_I^2)) - if
   the inputs of every unit sum to zero. Balance on average is not enough: then eigenvalues lie far out of the
   disc. Rajan & Abbott 2006, PRL 97:188104.
2. A low-rank part throws out an eigenvalue at its overlap right' left, where that is larger than R; not its
   norm decides: an orthogonal rank-1 part of any norm has no outlier. Tao 2013, Probab Theory Relat Fields
   155:231.
3. A fixed point loses stability where gain x abscissa(W) = 1, the gain being the slope of the units at that
   fixed point. (The gain of a neuron, and not the g of a random network's couplings, which is inside W.)
4. Units with K inputs of strength 1/sqrt(K) stay in range because excitation and inhibition cancel: the part
   that is left falls as 1/sqrt(K), rates are linear in the drive though the units are not, spikes are as
   irregular as coins, and the population follows its input faster than a single unit. van Vreeswijk &
   Sompolinsky 1996, Science 274:1724; 1998, Neural Comput 10:1321.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cortseq._lazy import xr
from cortseq.checks import Check, Part, above, below, close, near, phenomenon, worst
from cortseq.theory import balanced, binary
from cortseq.theory.networks import runge_kutta
from cortseq.theory.spectra import dale_bulk_radius, low_rank_outliers

CLAIM = (
    "Under Dale's law eigenvalues fill a disc only where every unit's inputs cancel; structure throws out an "
    "eigenvalue at its overlap; with K inputs of strength 1/sqrt(K) balance makes rates linear and "
    "activity irregular."
)
EXCITATORY, MEANS, SDS = 0.8, (1.0, 4.0), (0.7, 1.6)  # of |weights|, times sqrt(N); E and I
# excitatory and inhibitory binary units: J (column = presynaptic), E at drive 1, thresholds
STRENGTHS, EXTERNAL, THRESHOLDS = ((0.2, -0.8), (1.0, -1.5)), (0.25, 0.0), (0.15, 0.5)


def measure(
    seed: int = 0,
    say: Callable[[str], Any] = print,
    units: int = 600,
    overlaps: Sequence[float] = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0),
    draws: int = 5,
    cases: int = 100,
    population: int = 3000,
    inputs: Sequence[int] = (25, 50, 100, 200, 400),
    drives: Sequence[float] = (0.3, 0.4, 0.5, 0.6, 0.7),
    drive: float = 0.6,
    sweeps: int = 300,
    cycles: int = 60,
    period: float = 8.0,
) -> xr.Dataset:
    """Measure what theory predicts of balanced networks.

    Parameters
    ----------
    units, draws : of the random matrices.
    cases : networks whose stability is simulated.
    population : binary units of each sign, with `inputs` K of each sign.
    sweeps : time constants recorded.
    cycles, period : of the changing input, in time constants.
    """
    say("spectra")
    parts = [_dale(units, seed), _outliers(units, overlaps, draws, seed), _growth(cases, seed)]
    parts.append(_residual(units, seed))
    say("balanced networks")
    parts.append(_balanced(population, inputs, drives, drive, sweeps, seed))
    say("tracking")
    parts.append(_tracking(population, inputs, drive, cycles, period, seed))
    return phenomenon(CLAIM, parts)


# ------------------------------------------------------------------------------------- random matrices


def dale_matrix(units: int, rng: np.random.Generator, rows_cancel: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return W (n, n) of gamma-distributed weights, means cancelling, and the signs of its columns (n,).

    rows_cancel : inhibitory weights of every unit are scaled so that its inputs sum to 0; signs stay.
    """
    signs = np.where(np.arange(units) < EXCITATORY * units, 1.0, -1.0)
    mean, sd = (np.where(signs > 0, *pair) / np.sqrt(units) for pair in (MEANS, SDS))
    size = rng.gamma((mean / sd) ** 2, sd**2 / mean, (units, units))
    if rows_cancel:
        plus, minus = (size * (signs > 0)).sum(1), (size * (signs < 0)).sum(1)
        size = np.where(signs < 0, size * (plus / minus)[:, None], size)
    return size * signs, signs


def _dale(units: int, seed: int) -> Part:
    from cortseq.dynamics import bulk_radius

    radius = dale_bulk_radius(units, EXCITATORY, *(s / np.sqrt(units) for s in SDS))
    spectra = []
    for cancel in (True, False):
        w, signs = dale_matrix(units, np.random.default_rng([seed, 1]), cancel)
        spectra.append(np.linalg.eigvals(w))
    cancelled, free = (float(np.abs(s).max()) for s in spectra)
    values = np.stack(spectra)
    note = "predicted is the radius that the formula gives; without zero row sums it does not hold"
    checks = [
        close("largest modulus, rows that cancel", radius, cancelled, 0.08, "C35"),
        above("largest modulus, rows that cancel on average only", radius, free, 1.15 * radius, "C35", note),
        close("radius from the entries", radius, bulk_radius(w, signs), 0.03, "C35"),
    ]
    part = {
        "spectrum": (("rows", "eigenvalue", "part"), np.stack([values.real, values.imag], -1)),
        "bulk_radius": ((), radius),
        "rows": ("rows", ["cancel", "cancel on average"]),
        "part": ("part", ["real", "imaginary"]),
    }
    return Part(part, checks)


def _outliers(units: int, overlaps: Sequence[float], draws: int, seed: int) -> Part:
    rng = np.random.default_rng([seed, 2])
    found = np.empty((draws, len(overlaps)))
    shifted = np.full_like(found, np.nan)
    for d in range(draws):
        bulk = rng.normal(size=(units, units)) / np.sqrt(units)
        for i, overlap in enumerate(overlaps):
            left, right = rank_one(units, overlap, rng)
            found[d, i] = np.abs(np.linalg.eigvals(bulk + np.outer(left, right))).max()
            outside = low_rank_outliers(left, right, 1.0, bulk, order=6)
            shifted[d, i] = max(1.0, np.abs(outside).max(initial=0.0))
    alone = [np.abs(low_rank_outliers(*rank_one(units, o, rng), 1.0)).max(initial=0.0) for o in overlaps]
    predicted = np.maximum(1.0, alone)
    at, none = int(np.argmin(np.abs(np.array(overlaps) - 2))), int(np.argmin(np.abs(overlaps)))
    finite = "finite N: overlaps with the random part move it"
    orthogonal = "no outlier is predicted for N -> infinity; order 6 predicts what finite N leaves"
    checks = [
        near("outlier of overlap 2", predicted[at], found[:, at].mean(), 0.15, "C34", finite),
        near("the same with the bulk's overlaps", shifted[:, at].mean(), found[:, at].mean(), 0.02, "C34"),
        below(
            "largest modulus, orthogonal rank 1 of norm 4", 1.0, found[:, none].mean(), 1.3, "C34", orthogonal
        ),
    ]
    part = {
        "overlap": ("overlap", np.array(overlaps)),
        "outlier": (("draw", "overlap"), found),
        "outlier_shifted": (("draw", "overlap"), shifted),
        "outlier_predicted": ("overlap", predicted),
    }
    return Part(part, checks)


def rank_one(units: int, overlap: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return left, right (n,) with right' left = overlap and |left| |right| = 4."""
    a, b = np.linalg.qr(rng.normal(size=(units, 2)))[0].T
    cosine = overlap / 4
    return 4 * a, cosine * a + np.sqrt(1 - cosine**2) * b


def _growth(cases: int, seed: int, n: int = 40, span: float = 60.0, dt: float = 0.1) -> Part:
    """Compare growth beside a fixed point of dx/dt = -x + tanh(W x + b) with gain x abscissa - 1."""
    rng = np.random.default_rng([seed, 3])
    w, fixed, predicted = _about_threshold(cases, n, rng)
    bias = np.arctanh(fixed) - np.einsum("cij,cj->ci", w, fixed)

    def speed(x: np.ndarray) -> np.ndarray:
        return np.asarray(np.tanh(np.einsum("cij,cj->ci", w, x) + bias) - x)

    moved = rng.normal(size=fixed.shape)
    x = fixed + 1e-7 * moved / np.linalg.norm(moved, axis=1, keepdims=True)
    logs = np.empty((int(span / dt), cases))
    for t in range(len(logs)):
        x = runge_kutta(speed, x, dt)
        logs[t] = np.log(np.linalg.norm(x - fixed, axis=1))
    late = slice(len(logs) // 3, None)
    rate = np.polyfit(dt * np.arange(1, len(logs) + 1)[late], logs[late], 1)[0]
    agree, slope = (rate > 0) == (predicted > 1), np.polyfit(predicted - 1, rate, 1)[0]
    checks = [
        above("share of cases that grow if and only if gain x abscissa > 1", 1.0, agree.mean(), 1.0, "C33"),
        near("growth rate against gain x abscissa - 1, slope", 1.0, slope, 0.05, "C33"),
    ]
    return Part(
        {"gain_abscissa": ("case", predicted), "growth_rate": ("case", rate, {"units": "1/tau"})}, checks
    )


def _about_threshold(
    cases: int, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return networks near instability (case, n, n), a fixed point (case, n), gain x abscissa (case,)."""
    from cortseq.dynamics import stability_margin

    def reach(w: np.ndarray) -> np.ndarray:
        return np.array([1 - stability_margin(m, s) for m, s in zip(w, 1 - fixed**2, strict=True)])

    w = rng.normal(size=(cases, n, n)) / np.sqrt(n)
    left, right = rng.normal(size=(2, cases, n)) / np.sqrt(n)
    w += 1.5 * left[:, :, None] * right[:, None]  # some structure, so that leading eigenvalues differ in kind
    fixed = rng.uniform(-0.6, 0.6, (cases, n))
    aim = 1 + rng.choice([-1, 1], cases) * rng.uniform(0.03, 0.2, cases)
    w *= (aim / np.abs(reach(w)))[:, None, None]
    return w, fixed, reach(w)


def _residual(units: int, seed: int) -> Part:
    from cortseq.dynamics.structure import structure

    rng = np.random.default_rng([seed, 4])
    signs = np.where(np.arange(units) < EXCITATORY * units, 1, -1)
    w = rng.normal(size=(units, units)) / np.sqrt(units)
    w += np.where(signs > 0, *MEANS) * signs / np.sqrt(units)
    w += np.outer(*rank_one(units, 3.0, rng))
    found = structure(w, signs)
    radii = np.sort(np.abs(np.linalg.eigvals(found.residual)) / np.sqrt(units * found.residual.var()))
    whole = np.sort(np.abs(np.linalg.eigvals(w)) / np.sqrt(units * w.var()))
    checks = [
        Check("rank of the structured part", 1.0, found.rank, 1, 1, "C51"),
        above("p of the circular law for the rest", 0.5, found.p_value, 0.01, "C51", "any p above .01 holds"),
    ]
    part = {
        "radius_of_rest": ("eigenvalue", radii),
        "radius_of_all": ("eigenvalue", whole),
        "share": ("eigenvalue", (np.arange(units) + 0.5) / units),
    }
    return Part(part, checks)


# ------------------------------------------------------------------------------------- balanced networks


def network(drive: float, inputs: int) -> balanced.BalancedState:
    """Return the theory's state of the binary network at an external drive."""
    return balanced.balanced_state(STRENGTHS, drive * np.array(EXTERNAL), THRESHOLDS, inputs)


def run(
    partner: np.ndarray, external: np.ndarray, sweeps_per_bin: float, warm: int, seed: int, random: bool
) -> np.ndarray:
    """Binary states (bin, unit) under external (bin, population), after `warm` bins of the first input."""
    n = len(partner)
    size = n // len(THRESHOLDS)
    start = np.random.default_rng([seed, 7]).random(n) < np.repeat(
        balanced.balanced_rates(STRENGTHS, external[0]), size
    )
    drive = np.concatenate([np.repeat(external[:1], warm, 0), external])
    states = binary.simulate(
        partner, STRENGTHS, drive, THRESHOLDS, start, round(sweeps_per_bin * n), seed, random
    )
    return states[warm:]


def _balanced(
    population: int, inputs: Sequence[int], drives: Sequence[float], drive: float, sweeps: int, seed: int
) -> Part:
    """Simulate binary units in turn; the spikes of a unit are the turns above threshold."""

    def steady(partner: np.ndarray, d: float) -> np.ndarray:
        return run(partner, np.tile(d * np.array(EXTERNAL), (sweeps, 1)), 1, 30, seed, False)

    def by_population(states: np.ndarray) -> np.ndarray:
        return np.asarray(states.reshape(sweeps, 2, -1).mean((0, 2)))

    index, rates = [], []
    for k in inputs:
        partner = binary.partners(population, 2, k, np.random.default_rng([seed, k]))
        states = steady(partner, drive)
        index.append(_index(partner, states, drive))
        rates.append(by_population(states))
    theory_index = [network(drive, k).index.mean() for k in inputs]
    across = np.array([by_population(steady(partner, d)) for d in drives])
    asymptotic = np.array([balanced.balanced_rates(STRENGTHS, d * np.array(EXTERNAL)) for d in drives])
    finite = np.array([network(d, inputs[-1]).rates for d in drives])
    slope = np.polyfit(np.log(inputs), np.log(index), 1)[0]
    part = {
        "inputs": ("inputs", np.array(inputs)),
        "balance_index": ("inputs", np.array(index)),
        "balance_index_predicted": ("inputs", np.array(theory_index)),
        "rate_by_inputs": (("inputs", "population"), np.array(rates)),
        "drive": ("drive", np.array(drives)),
        "rate": (("drive", "population"), across, {"units": "share of active units"}),
        "rate_predicted": (("drive", "population"), asymptotic),
        "rate_predicted_finite": (("drive", "population"), finite),
        "population": ("population", ["excitatory", "inhibitory"]),
    }
    checks = [
        near("slope of ln balance index against ln K", -0.5, slope, 0.1, "C32"),
        close("balance index at the largest K", theory_index[-1], index[-1], 0.1, "C32"),
        near("rates over m = -J^-1 E at the largest K, worst", 1.0, worst(across / asymptotic), 0.05, "C32"),
        near("rates over those of finite K, worst", 1.0, worst(across / finite), 0.03, "C32"),
    ]
    irregular = _irregular(states)
    return Part(part | irregular.variables, [*checks, *irregular.checks])


def _index(partner: np.ndarray, states: np.ndarray, drive: float, some: int = 200, bins: int = 60) -> float:
    """Return mean balance index of some units, from the currents of some bins."""
    from cortseq.dynamics import balance

    n, _, k = partner.shape
    few = states[:: max(1, len(states) // bins)].astype(float)
    units = np.linspace(0, n - 1, some).astype(int)
    own = units // (n // 2)
    currents = [
        np.stack([few[:, partner[u, b]].sum(1) for u in units], 1)
        * np.abs(np.array(STRENGTHS)[own, b])
        / np.sqrt(k)
        for b in range(2)
    ]
    # what excitation and what inhibition brings to a unit, as two sources of weight 1 and -1
    ones, zeros = np.eye(some), np.zeros((some, some))
    weights = np.block([[ones, -ones], [zeros, zeros]])
    external = np.append(drive * np.array(EXTERNAL)[own] * np.sqrt(k), np.zeros(some))
    return float(balance(weights, np.concatenate(currents, 1), external, max_lag=1).index[:some].mean())


def _irregular(states: np.ndarray, fewest: int = 20) -> Part:
    """Return variation of the intervals and Fano factor of every unit, against its rate.

    Every second turn counts: between two turns of a unit some of its partners have had none, so that its
    input is in part the same; between every second all have.
    """
    states = states[::2]
    spikes = [np.flatnonzero(unit) for unit in states.T]
    kept = [i for i, s in enumerate(spikes) if len(s) > fewest]
    rate = states.mean(0)[kept]
    variation = np.array([np.diff(spikes[i]).std() / np.diff(spikes[i]).mean() for i in kept])
    window = 10
    counts = states[: len(states) // window * window, kept].reshape(-1, window, len(kept)).sum(1)
    fano = counts.var(0, ddof=1) / counts.mean(0)
    edges = np.quantile(rate, np.linspace(0, 1, 9))
    at = np.clip(np.searchsorted(edges, rate, side="right") - 1, 0, 7)
    groups = [at == g for g in range(8)]
    centre = np.array([rate[g].mean() for g in groups])
    bands = {
        name: np.array([[v[g].mean(), np.quantile(v[g], 0.1), np.quantile(v[g], 0.9)] for g in groups])
        for name, v in (("interval_variation", variation), ("fano", fano))
    }
    coin = balanced.coin_variation(rate)
    checks = [
        near("variation of intervals over that of a coin, mean", 1.0, (variation / coin).mean(), 0.1, "C52"),
        near("Fano factor over that of a coin", 1.0, (fano / coin**2).mean(), 0.15, "C52"),
    ]
    part = {
        "unit_rate": ("group", centre, {"units": "spikes per turn that counts"}),
        **{name: (("group", "band"), v) for name, v in bands.items()},
        "interval_variation_predicted": ("group", balanced.coin_variation(centre)),
        "band": ("band", ["mean", "low", "high"]),
    }
    return Part(part, checks)


def _tracking(
    population: int,
    inputs: Sequence[int],
    drive: float,
    cycles: int,
    period: float,
    seed: int,
    bin: float = 0.1,
) -> Part:
    """Measure how far the activity of all units lags behind a sine of the external input.

    Binary units wait exponential times between updates.
    """
    per_cycle = round(period / bin)
    phase = 2 * np.pi * (np.arange(cycles * per_cycle) + 0.5) / per_cycle
    wave = 1 + 0.3 * np.sin(phase)
    external = drive * wave[:, None] * np.array(EXTERNAL)
    late = []
    for k in inputs:
        partner = binary.partners(population, 2, k, np.random.default_rng([seed, k]))
        rate = run(partner, external, bin, per_cycle, seed, True).mean(1)
        late.append(_lags(wave.reshape(cycles, per_cycle), rate.reshape(cycles, per_cycle), bin))
    lags, errors = np.mean(late, 1), np.std(late, 1, ddof=1) / np.sqrt(len(late[0]))
    predicted = np.array([balanced.balanced_lag(network(drive, k), period) for k in inputs])
    alone = balanced.single_lag(period)
    part = {
        "lag": ("inputs", lags, {"units": "tau"}),
        "lag_error": ("inputs", errors, {"units": "tau"}),
        "lag_predicted": ("inputs", predicted, {"units": "tau"}),
        "lag_alone": ((), alone, {"units": "tau"}),
    }
    slope, theory_slope = (np.polyfit(np.log(inputs), np.log(v), 1)[0] for v in (lags, predicted))
    note = "-1/2 as K -> infinity; the theory's own slope over these K is what is predicted"
    ratios = predicted[-1] / alone, lags[-1] / alone
    checks = [
        below("lag at the largest K over that of a single unit", *ratios, 0.5, "C32"),
        near("lag at the largest K (tau)", predicted[-1], lags[-1], 0.03, "C32"),
        near("slope of ln lag against ln K", theory_slope, slope, 0.15, "C32", note),
    ]
    return Part(part, checks)


def _lags(wave: np.ndarray, rate: np.ndarray, bin: float, pieces: int = 5) -> np.ndarray:
    """Return the lag of `rate` behind `wave`, both (cycle, bin), in each piece of the cycles, in tau."""
    from cortseq.dynamics import tracking_lag

    late = [
        tracking_lag(wave[part].reshape(1, -1, 1), rate[part].reshape(1, -1, 1), wave.shape[1] // 4)[0]
        for part in np.array_split(np.arange(len(wave)), pieces)
    ]
    # the state after a bin belongs to its end, the input to the whole bin
    return np.array(late) * bin + bin / 2
