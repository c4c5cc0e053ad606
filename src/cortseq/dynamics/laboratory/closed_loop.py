"""Analyses of the closed loop, in which the expected observation is fed back, and of the sampled map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import lazy, xr
from cortseq.dynamics import similarity
from cortseq.dynamics.attractors import line_attractor
from cortseq.dynamics.chaos import chaos_verdict, twin_divergence
from cortseq.dynamics.fixed_points import rms_spread
from cortseq.dynamics.laboratory.subject import Subject
from cortseq.dynamics.lyapunov import entropy, kaplan_yorke, lyapunov_spectrum
from cortseq.dynamics.quantities import SURPRISE_STEPS
from cortseq.errors import CortseqError
from cortseq.flow import batched
from cortseq.networks import loop

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

_EXPONENTS, _MOST_EXPONENTS = 8, 64
_STEPS, _WARM_UP = 1000, 300  # of the exponents of a closed loop
_STARTS = 10  # of the verdict on chaos
_TWINS, _TWIN_STEPS = 8, 60
SAME_POINT = (
    0.15  # rms spreads of the expected observation, up to which two members have the same fixed point
)
_GRID = 15
_SURPRISES = 400  # bins whose surprise is followed
_LATER = 10  # bins after which what is left of it is asked


def vector_field(subject: Subject, found: xr.Dataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the closed-loop velocity of member 0 in the plane of its first two components.

    The plane runs through the mean state.
    """
    axes, mean = found["components"].values[:2], found["mean"].values
    if len(axes) < 2:
        return {}, {}
    x = found["projected"].values[..., :2].reshape(-1, 2)
    low, high = np.nanmin(x, 0), np.nanmax(x, 0)
    grid = np.stack(
        np.meshgrid(*np.linspace(low - 0.1 * (high - low), high + 0.1 * (high - low), _GRID).T), -1
    )
    at = torch.from_numpy(mean + grid.reshape(-1, 2) @ axes)
    with torch.no_grad():
        moved = (batched(subject.fit.flow(0, "closed"))(at) - at).numpy() @ axes.T
    plane = ("grid_y", "grid_x", "axis")
    return {"grid": (plane, grid), "velocity": (plane, moved.reshape(grid.shape))}, {}


def lines(subject: Subject, found: xr.Dataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return whether the slow points of each member make a line attractor."""
    holds, reasons = [], []
    for member in range(subject.members):
        points = found["slow_points"].values[member]
        verdict = line_attractor(subject.fit.flow(member, "closed"), points[np.isfinite(points).all(1)])
        holds.append(verdict.holds)
        reasons.append(("ring" if verdict.closed else "line") if verdict.holds else verdict.reason)
    return {"line_attractor": ("member", np.array(holds))}, {"line_attractor_reasons": reasons}


def exponents(subject: Subject, found: xr.Dataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return leading Lyapunov exponents of the closed loop, nats per bin, and whether it is chaotic.

    The largest exponent is followed from ten starts, which the verdict rests on; the spectrum from the first
    of them, as many exponents as the Kaplan-Yorke dimension asks for: a sum that is still positive says
    nothing of it. Dimension and entropy are those of `_with_leading`.
    """
    flows = [subject.fit.flow(member, "closed") for member in range(subject.members)]
    starts = np.stack([subject.visited(member, _STARTS) for member in range(subject.members)])
    spectra, away = [], {}
    for member, (flow, start) in enumerate(zip(flows, starts, strict=True)):
        try:
            spectra.append(_spectrum(flow, start[0], subject.seed))
        except CortseqError as error:  # a loop that runs away, such as a linear read-out fed back
            spectra.append(None)
            away[member] = str(error).splitlines()[0]
    if len(away) == subject.members:
        return {}, {"chaotic": "no verdict", "chaotic_reason": away[0]}
    per = ("member", "exponent")
    k = max(len(s.exponents) for s in spectra if s)
    variables = {
        "lyapunov": (per, _rows([s and s.exponents for s in spectra], k)),
        "lyapunov_error": (per, _rows([s and s.standard_errors for s in spectra], k)),
    }
    if away:
        reason = f"member {min(away)}: {away[min(away)]}"
        variables |= _dimension([s and s.exponents for s in spectra], starts.shape[-1])
        return variables, {"chaotic": "no verdict", "chaotic_reason": reason}
    verdict = chaos_verdict(flows, starts, _STEPS, _WARM_UP, subject.seed)
    variables["leading_exponents"] = (("member", "chaos_start"), verdict.exponents)
    leading = verdict.exponents.mean(1)
    joined = [_with_leading(s.exponents, one) for s, one in zip(spectra, leading, strict=True)]
    variables |= _dimension(joined, starts.shape[-1])
    return variables, {
        "chaotic": {True: "chaotic", False: "not chaotic", None: "no verdict"}[verdict.chaotic],
        "chaotic_reason": verdict.reason,
    }


def _with_leading(spectrum: np.ndarray, leading: float) -> np.ndarray:
    """Return a spectrum (exponent,) from one start whose largest exponent is the mean over many starts.

    The others are at most that: where the largest is below 0 none is above.
    """
    return np.append(leading, np.minimum(spectrum[1:], leading)) if np.isfinite(leading) else spectrum


def _dimension(spectra: Sequence[np.ndarray | None], dim: int) -> dict[str, Any]:
    """Return Kaplan-Yorke dimension and entropy, (member,), NaN where exponents not computed may add."""
    measures = {"kaplan_yorke": kaplan_yorke, "entropy": entropy}
    return {
        name: ("member", np.array([_complete(s, dim, measure) for s in spectra]))
        for name, measure in measures.items()
    }


def _spectrum(flow: Any, start: np.ndarray, seed: int) -> Any:
    """Compute exponents, twice as many while those found do not yet sum to less than 0."""
    k = min(_EXPONENTS, len(start))
    while True:
        found = lyapunov_spectrum(flow, start, k, _STEPS, _WARM_UP, seed)
        if found.exponents.sum() < 0 or k == min(len(start), _MOST_EXPONENTS):
            return found
        k = min(2 * k, len(start), _MOST_EXPONENTS)


def _complete(spectrum: np.ndarray | None, dim: int, measure: Callable[[np.ndarray], float]) -> float:
    """Return a measure of a spectrum (exponent,), NaN where exponents not computed may add to it."""
    if spectrum is None or (spectrum.sum() >= 0 and len(spectrum) < dim):
        return float("nan")
    return measure(spectrum)


def _rows(values: list[Any], k: int) -> np.ndarray:
    """Return one row of k values per member, NaN where a member has fewer."""
    out = np.full((len(values), k), np.nan)
    for row, value in zip(out, values, strict=True):
        if value is not None:
            row[: len(value)] = value
    return out


def twins(subject: Subject, found: xr.Dataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return distances of twins that begin 1e-6 apart.

    In the closed loop, and in the sampled map where both draw with the same noise.
    """
    apart, slopes = {}, {}
    for map, flow_of in (("closed", _without_noise), ("sampled", _noisy)):
        curves = []
        for member in range(subject.members):
            starts = subject.visited(member, _TWINS)
            flows = flow_of(subject.fit, member)
            curves.append(twin_divergence(flows, starts, n_steps=_TWIN_STEPS, seed=subject.seed))
        apart[f"{map}_twins"] = ("member", "twin", "twin_step"), np.stack([e.distances for e in curves])
        slopes[f"{map}_twin_slope"] = "member", np.array([e.slope for e in curves])
    return apart | slopes, {}


def _without_noise(fit: Any, member: int) -> Callable[[int], Any]:
    flow = fit.flow(member, "closed")
    return lambda seed: flow


def _noisy(fit: Any, member: int) -> Callable[[int], Any]:
    one = fit.member(member)  # the same in every draw
    return lambda seed: loop.flow(one, fit.card, "sampled", seed=seed)


def surprise(subject: Subject, found: xr.Dataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """Measure how long the closed loop remembers a surprising bin.

    How long the loop remembers a surprise: from the state after a recorded bin and from the one had that bin
    been as expected, the closed loop runs on; the rms distance of what is expected k bins later, in rms
    spreads of the expected observation, over visited bins (member, lag), the lag at which it has fallen to
    1/e of its first (the last one where it never does: attractors keep what tipped them), and the share of it
    that is left after 10 bins.

    Modes that the observation does not show, or that no surprise moves, do not count: unlike the largest
    exponent it is a property of what is predicted, which data can tell.
    """
    curves, groups = [], subject.left_out()
    for member in range(subject.members):
        squares, trials = _surprises(subject, member)
        scale = float(found["expected_spread"][member])
        # bins of all trials, then of all but one group of them
        kept = [np.full(len(trials), True), *(np.isin(trials, group) for group in groups)]
        curves.append([np.sqrt(squares[positions].mean(0)) / scale for positions in kept])
    every = np.array(curves)  # (member, group, lag)
    variables: dict[str, Any] = {"surprise": (("member", "surprise_lag"), every[:, 0])}
    for name, of in (("surprise_span", span), ("surprise_left", _left)):
        values = np.array([[of(curve) for curve in row] for row in every])
        variables[name] = ("member", values[:, 0])
        if groups:
            variables[f"{name}_left_out"] = (("group", "member"), values[:, 1:].T)
    return variables, {}


def _surprises(subject: Subject, member: int) -> tuple[np.ndarray, np.ndarray]:
    """Return squared distances of expected observations after drawn bins, (bin, lag).

    Also returns the trial of each bin, (bin,).
    """
    states = subject.states[member]
    known = np.isfinite(states[:, :-1]).all(-1) & np.isfinite(states[:, 1:]).all(-1)
    trial, time = np.nonzero(known)
    if not len(trial):
        raise CortseqError("no two bins follow each other", key="valid")
    rng = np.random.default_rng([subject.seed, member, 0x5B])
    drawn = np.sort(rng.choice(len(trial), min(_SURPRISES, len(trial)), replace=False))
    trial, time = trial[drawn], time[drawn]
    step = batched(subject.fit.flow(member, "closed"))
    squares = []
    with torch.no_grad():
        seen = torch.from_numpy(states[trial, time + 1])
        unsurprised = step(torch.from_numpy(states[trial, time]))
        for _ in range(SURPRISE_STEPS):
            with_it, without = (subject.fit.expected(s.numpy(), member) for s in (seen, unsurprised))
            with np.errstate(over="ignore", invalid="ignore"):  # a loop that runs away
                squares.append(((with_it - without) ** 2).sum(-1))
            seen, unsurprised = step(seen), step(unsurprised)
    return np.stack(squares, 1), trial


def _left(curve: np.ndarray) -> float:
    return float(curve[_LATER] / curve[0]) if curve[0] > 0 else float("nan")


def span(curve: np.ndarray) -> float:
    """Return lag at which a curve (lag,) falls to 1/e of its first value, linear between lags.

    That of its end where it never does.
    """
    below = np.flatnonzero(curve <= curve[0] / np.e)
    if not len(below) or not curve[0] > 0:
        return float(len(curve)) if curve[0] > 0 else float("nan")
    i = below[0]
    return float(i - 1 + (curve[i - 1] - curve[0] / np.e) / (curve[i - 1] - curve[i]))


def expected(subject: Subject, found: xr.Dataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """Compute the observation expected at each fixed point.

    The observation expected at each fixed point, (member, point, feature) in its units, and the
    rms spread of what is expected on test trials: the space that members and models share.
    """
    points = found["fixed_points"].values
    expectations = [subject.fit.expected(p[np.isfinite(p).all(1)], i) for i, p in enumerate(points)]
    out = np.full((*points.shape[:2], expectations[0].shape[1]), np.nan)
    for row, values in zip(out, expectations, strict=True):
        row[: len(values)] = values
    visited = (subject.fit.expected(subject.visited(i, 500), i) for i in range(subject.members))
    return {
        "expected": (("member", "point", "feature"), out),
        "expected_spread": ("member", np.array([rms_spread(v) for v in visited])),
    }, {}


def shared(subject: Subject, found: xr.Dataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return for each fixed point the share of the other members that have it.

    A member has it where it expects the same at one of its own.
    """
    m, expectations = subject.members, found["expected"].values
    if m < 2:
        return {}, {}
    known, scale = np.isfinite(expectations).all(-1), float(found["expected_spread"].mean())
    share = np.where(known, 0.0, np.nan)
    for a in range(m):
        for b in range(m):
            if a != b and known[a].any() and known[b].any():
                pair = expectations[b][known[b]], expectations[a][known[a]]
                same = similarity.match_fixed_points(*pair, SAME_POINT, scale)
                share[a, same.pairs[:, 1]] += 1 / (m - 1)
    return {"shared": (found["speed"].dims, share)}, {}
