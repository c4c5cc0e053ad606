"""Order to chaos in random networks: activity, memory and largest Lyapunov exponent against the gain.

Claim, corrected: dx/dt = -x + J tanh(x) with J_ij ~ N(0, g^2/N) is silent for g < 1 and chaotic for g > 1 as
N -> infinity. The Jacobian at rest is -1 + J: g is inside J and is not counted twice (the textbook writes
variance g^2/N and gJ - I). Rest turns unstable where Re(lambda(J)) > 1, when the disc of radius g about -1
crosses the imaginary axis. Above, the variance Delta(0), q = <tanh^2>, the autocorrelation and the largest
exponent (per tau) are those of `theory.mean_field`; the map h' = tanh(J h) has other numbers (per step),
those of `theory.mean_field_map`. Finite networks have smaller exponents, by an amount that falls as 1/N, so
that 1 < g < 1.3 decides nothing at the sizes that can be simulated.

Sompolinsky, Crisanti & Sommers 1988, PRL 61:259; Molgedey, Schuchhardt & Schuster 1992, PRL 69:3717; Girko
1985.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import lazy, xr
from cortseq.checks import Check, Part, above, below, close, near, phenomenon
from cortseq.theory import MeanField, mean_field, mean_field_map, networks

if TYPE_CHECKING:
    from cortseq import dynamics
    from cortseq.compiled import threads
else:
    dynamics, threads = lazy("cortseq.dynamics"), lazy("cortseq.compiled.threads")

CLAIM = (
    "dx/dt = -x + J tanh(x), J_ij ~ N(0, g^2/N), is silent below g = 1 and chaotic above, with the variance, "
    "autocorrelation and largest Lyapunov exponent of mean-field theory; finite networks lie below it by "
    "order 1/N"
)


@dataclass(frozen=True)
class _Run:
    """What was measured on one network.

    Attributes
    ----------
    variance : <x^2>.
    q : <tanh(x)^2>.
    autocorrelation : (lag,).
    exponents : (start,) nats per tau.
    last : largest |x| at the end.
    """

    variance: float
    q: float
    autocorrelation: np.ndarray
    exponents: np.ndarray
    last: float


def measure(
    seed: int = 0,
    say: Callable[[str], Any] = print,
    gains: Sequence[float] = (0.5, 0.7, 0.9, 1.5, 1.75, 2.0, 2.5, 3.0),
    units: int = 500,
    n_networks: int = 5,
    starts: int = 2,
    sizes: Sequence[int] = (100, 200, 400, 800, 1600),
    of_size: Sequence[int] = (12, 12, 12, 14, 3),
    size_gain: float = 2.0,
    warm_up: float = 100.0,
    duration: float = 200.0,
    step: float = 0.5,
    map_gains: Sequence[float] = (0.5, 0.8, 1.5, 2.0, 2.5, 3.0),
    spectrum_units: int = 1000,
) -> xr.Dataset:
    """Measure networks of `units` units over the gains, of all `sizes` at `size_gain`; the map; a spectrum.

    Parameters
    ----------
    n_networks : of `units` units, at each gain.
    of_size : networks of each of `sizes`.
    starts : of each network.
    warm_up, duration, step : in tau; the step of a Runge-Kutta integration of fourth order.
    """
    lags = np.arange(round(20 / step) + 1) * step
    how: dict[str, Any] = {
        "starts": starts,
        "warm_up": warm_up,
        "duration": duration,
        "step": step,
        "lags": lags,
    }

    def runs(n: int, gain: float, count: int) -> list[_Run]:
        say(f"chaos: {count} networks of {n} units at gain {gain:g}")
        return [_run(n, gain, (seed, i), **how) for i in range(count)]

    with threads.single():
        scan = {gain: runs(units, gain, n_networks) for gain in gains}
        by_size = {n: runs(n, size_gain, count) for n, count in zip(sizes, of_size, strict=True)}
        maps = {g: [_map_run(units, g, (seed, i), starts) for i in range(n_networks)] for g in map_gains}
        variables = {
            **_predicted(gains, map_gains, lags, size_gain),
            **_scanned(scan, by_size, maps),
            **_traces(units, seed, step),
        }
        coords: dict[str, Any] = {"gain": list(gains), "map_gain": list(map_gains), "size": list(sizes)}
        coords |= {"lag": ("lag", lags, {"units": "tau"})}
        attrs = {"units": units, "size_gain": size_gain, "step": step}
        found = xr.Dataset(variables, coords, attrs)
        checks = [*_checks(found, scan, by_size), _growth(seed, step)]
        return phenomenon(CLAIM, [_spectrum(spectrum_units, seed), Part(variables, checks, coords)], **attrs)


def _run(
    n: int,
    gain: float,
    seed: tuple[int, int],
    starts: int,
    warm_up: float,
    duration: float,
    step: float,
    lags: np.ndarray,
) -> _Run:
    advance = networks.rate_step(networks.random_coupling(n, gain, [*seed, n]), step)
    start = np.random.default_rng([*seed, n, 1]).normal(size=(starts, n))
    steps = round(duration / step)
    x, exponents = networks.orbit(advance, start, steps, round(warm_up / step))
    autocorrelation = np.array([np.mean(x[: steps - k] * x[k:]) for k in range(len(lags))])
    return _Run(
        np.mean(x**2), np.mean(np.tanh(x) ** 2), autocorrelation, exponents / step, np.abs(x[-1]).max()
    )


def _map_run(
    n: int, gain: float, seed: tuple[int, int], starts: int, warm_up: int = 200, steps: int = 500
) -> tuple[float, float]:
    """Return q and the largest exponent per step of h' = tanh(J h)."""
    advance = networks.map_step(networks.random_coupling(n, gain, [*seed, n]))
    start = np.random.default_rng([*seed, n, 1]).normal(size=(starts, n))
    h, exponents = networks.orbit(advance, start, steps, warm_up)
    return float(np.mean(h**2)), float(exponents.mean())


def _predicted(
    gains: Sequence[float], map_gains: Sequence[float], lags: np.ndarray, size_gain: float
) -> dict[str, Any]:
    top = max(*gains, *map_gains) + 0.1
    line = np.unique(np.concatenate([np.linspace(min(*gains, *map_gains), 1, 6), np.linspace(1.02, top, 22)]))
    fields, maps = [mean_field(g) for g in line], [mean_field_map(g) for g in line]
    at = mean_field(size_gain)
    return {
        "line": ("line", line),
        "variance_predicted": ("line", [m.variance for m in fields]),
        "q_predicted": ("line", [m.q for m in fields]),
        "lyapunov_predicted": ("line", [m.lyapunov for m in fields], {"units": "1/tau"}),
        "size_lyapunov_predicted": ((), at.lyapunov, {"units": "1/tau"}),
        "map_q_predicted": ("line", [m.q for m in maps]),
        "map_lyapunov_predicted": ("line", [m.lyapunov for m in maps], {"units": "1/step"}),
        "autocorrelation_predicted": ("lag", np.interp(lags, at.lags, at.autocorrelation)),
    }


def _scanned(
    scan: dict[float, list[_Run]], by_size: dict[int, list[_Run]], maps: dict[float, list[Any]]
) -> dict[str, Any]:
    def table(runs: dict[Any, list[Any]], value: Callable[[Any], float]) -> list[list[float]]:
        most = max(map(len, runs.values()))
        return [[*map(value, some), *[np.nan] * (most - len(some))] for some in runs.values()]

    both = ("gain", "network")
    return {
        "variance": (both, table(scan, lambda run: run.variance)),
        "q": (both, table(scan, lambda run: run.q)),
        "lyapunov": (both, table(scan, lambda run: run.exponents.mean()), {"units": "1/tau"}),
        "autocorrelation": (
            ("size", "lag"),
            [np.mean([run.autocorrelation for run in some], 0) for some in by_size.values()],
        ),
        "size_lyapunov": (
            ("size", "network_of_size"),
            table(by_size, lambda run: run.exponents.mean()),
            {"units": "1/tau"},
        ),
        "map_q": (("map_gain", "network"), table(maps, lambda pair: pair[0])),
        "map_lyapunov": (("map_gain", "network"), table(maps, lambda pair: pair[1]), {"units": "1/step"}),
    }


def _traces(
    n: int,
    seed: int,
    step: float,
    gains: Sequence[float] = (0.9, 2.0),
    n_units: int = 3,
    duration: float = 60.0,
) -> dict[str, Any]:
    """Return a few units of one network from a random start, below and above the transition."""
    start = np.random.default_rng([seed, n, 1]).normal(size=n)
    advances = [networks.rate_step(networks.random_coupling(n, g, [seed, 0, n]), step) for g in gains]
    rows = [networks.orbit(advance, start, round(duration / step))[0][:, 0, :n_units] for advance in advances]
    time = np.arange(len(rows[0])) * step
    return {
        "trace": (("trace_gain", "time", "unit"), np.stack(rows)),
        "trace_gain": ("trace_gain", list(gains)),
        "time": ("time", time, {"units": "tau"}),
    }


def half_width(lags: np.ndarray, autocorrelation: np.ndarray) -> float:
    """Return the first lag at which the autocorrelation is half of that at lag 0, by a cubic spline.

    NaN if never.

    Parameters
    ----------
    lags : (lag,), in tau.
    autocorrelation : (lag,).
    """
    from scipy.interpolate import CubicSpline

    if not (autocorrelation < autocorrelation[0] / 2).any():
        return float("nan")
    roots = CubicSpline(lags, autocorrelation - autocorrelation[0] / 2).roots(extrapolate=False)
    return float(roots[0])


def extrapolated(sizes: np.ndarray, exponents: np.ndarray) -> tuple[float, float]:
    """Return intercept and slope of the mean exponent against 1/N.

    Sizes are weighted by the square root of N times the number of networks.

    Parameters
    ----------
    sizes : (size,) units.
    exponents : (size,), per tau, mean over networks.
    """
    counts = np.isfinite(exponents).sum(1)
    slope, intercept = np.polyfit(
        1 / np.asarray(sizes, float), np.nanmean(exponents, 1), 1, w=np.sqrt(np.asarray(sizes) * counts)
    )
    return float(intercept), float(slope)


def _growth(seed: int, step: float, n: int = 100, gain: float = 1.5) -> Check:
    """Compare the growth of small perturbations of the silent state with the abscissa of -1 + J."""
    coupling = networks.random_coupling(n, gain, [seed, n])
    grown = networks.orbit(networks.rate_step(coupling, step), np.zeros(n), 2000, 1000, seed)[1][0] / step
    predicted = dynamics.spectral_abscissa(coupling - np.eye(n))
    return close(f"growth about rest, gain {gain:g}, N = {n} (1/tau)", predicted, grown, 0.01, "C22")


def _spectrum(n: int, seed: int) -> Part:
    """Compare the eigenvalues of J over g with a uniform disc of radius 1."""
    values = np.linalg.eigvals(networks.random_coupling(n, 1.0, (seed, 1)))
    radius = np.abs(values)
    checks = [
        near(f"spectral radius of J over g, N = {n}", 1.0, radius.max(), 0.05, "C20"),
        near("share of eigenvalues inside half the radius", 0.25, np.mean(radius < 0.5), 0.03, "C20"),
    ]
    variables = {
        "eigenvalue_real": ("eigenvalue", values.real),
        "eigenvalue_imag": ("eigenvalue", values.imag),
    }
    return Part(variables, checks)


def _checks(found: xr.Dataset, scan: dict[float, list[_Run]], by_size: dict[int, list[_Run]]) -> list[Check]:
    n, theory = found.attrs["units"], mean_field(found.attrs["size_gain"])
    checks = [*_transition(scan, n), *_activity(found, theory, by_size)]
    checks += _finite_size(found, theory.lyapunov)
    for g in found["map_gain"].values[found["map_gain"].values >= 1.3]:
        expected, row = mean_field_map(float(g)), found.sel(map_gain=g)
        window = (expected.lyapunov - 30 / n, expected.lyapunov + 0.02)
        exponent = float(row["map_lyapunov"].mean())
        what = f"of the map, gain {g:g}, N = {n}"
        checks.append(Check(f"exponent {what} (1/step)", expected.lyapunov, exponent, *window, "C25"))
        checks.append(close(f"q {what}", expected.q, float(row["map_q"].mean()), 0.1, "C23"))
    return checks


def _activity(found: xr.Dataset, theory: MeanField, by_size: dict[int, list[_Run]]) -> list[Check]:
    """Return variance, q and autocorrelation of the size of which most units were simulated.

    Networks of one size differ: one in ten or so has a slow mode, and an autocorrelation that hardly decays
    in 20 tau.
    """
    n, runs = max(by_size.items(), key=lambda pair: pair[0] * len(pair[1]))
    within = 0.1 + 30 / n
    of = f"gain {theory.gain:g}, N = {n}"
    curve = found["autocorrelation"].sel(size=n).values
    gap = np.abs(curve - found["autocorrelation_predicted"].values).max() / theory.variance
    width = half_width(found["lag"].values, curve)
    variance, q = np.mean([run.variance for run in runs]), np.mean([run.q for run in runs])
    return [
        close(f"variance, {of}", theory.variance, variance, within, "C23"),
        close(f"q, {of}", theory.q, q, within, "C23"),
        close(f"half width of the autocorrelation (tau), {of}", theory.half_width, width, within, "C24"),
        below(f"largest gap of the autocorrelation over the variance, {of}", 0, gap, within, "C24"),
    ]


def _transition(scan: dict[float, list[_Run]], n: int) -> list[Check]:
    checks = []
    for gain, runs in scan.items():
        exponents = np.array([run.exponents.mean() for run in runs])
        if gain < 1:
            silent = max(run.last for run in runs)
            checks.append(below(f"largest |x| at the end, gain {gain:g}", 0, silent, 1e-06, "C21"))
            checks.append(
                below(f"largest exponent of any network, gain {gain:g}", gain - 1, exponents.max(), 0, "C21")
            )
        elif gain >= 1.3:
            share = float((exponents > 0).mean())
            checks.append(above(f"share of chaotic networks, gain {gain:g}, N = {n}", 1, share, 0.8, "C21"))
    return checks


def _finite_size(found: xr.Dataset, predicted: float) -> list[Check]:
    """Check exponents against windows that know N: the bias is downward, and in 1/N."""
    sizes, exponents = found["size"].values, found["size_lyapunov"].values
    checks = []
    for n, row in zip(sizes, exponents, strict=True):
        row = row[np.isfinite(row)]
        noise = 3 * row.std(ddof=1) / np.sqrt(len(row)) if len(row) > 1 else 0.01
        low, high = predicted - 25 / n - noise, predicted + noise
        note = "the bias of finite networks is downward, about 13/N at gain 2"
        checks.append(
            Check(
                f"exponent, gain {found.attrs['size_gain']:g}, N = {n} (1/tau)",
                predicted,
                row.mean(),
                low,
                high,
                "C25",
                note,
            )
        )
    large = sizes >= 200
    if large.sum() > 2:
        intercept = extrapolated(sizes[large], exponents[large])[0]
        checks.append(near("exponent extrapolated to 1/N = 0 (1/tau)", predicted, intercept, 0.012, "C25"))
    return checks
