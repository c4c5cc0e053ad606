"""What a pulse of a recorded input does to what the network expects, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import lazy, xr
from cortseq.dynamics.driven import driven
from cortseq.dynamics.laboratory.closed_loop import span
from cortseq.dynamics.laboratory.subject import Subject
from cortseq.dynamics.quantities import PULSE_STEPS
from cortseq.errors import CortseqError
from cortseq.scaling import Scale

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

_PULSES = 200  # bins in which an input is raised


def pulses(subject: Subject, found: xr.Dataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """Measure the response of what is expected to a pulse of each recorded input: gain and duration.

    In drawn bins of test trials one input is raised, by one event where it is 0 or 1, else by its standard
    deviation in training trials. The network then runs on under what was recorded, with and without the
    pulse; the response k bins later is the rms distance of what is expected, in rms spreads of the expected
    observation, (member, input, lag), lag 0 in the bin of the pulse.

    The gain of a member (member,) is the largest response to the input that moves it most, over lags; the
    span is the lag after which that response has fallen to 1/e of its largest value, the last one where it
    never does. That input is the same for all members: the one with the largest mean gain.
    """
    scale = Scale.known(subject.fit.card)
    if not scale.mean or not subject.fit.card["n_inputs"]:
        return {}, {}
    groups, curves = subject.left_out(), []
    for member in range(subject.members):
        squares, trials = _responses(subject, member, len(scale.mean))
        spread = float(found["expected_spread"][member])
        kept = [np.full(len(trials), True), *(np.isin(trials, group) for group in groups)]
        curves.append([np.sqrt(squares[:, of].mean(1)) / spread for of in kept])
    every = np.array(curves)  # (member, group, input, lag)
    strongest = int(every[:, 0].max(-1).mean(0).argmax())
    variables: dict[str, Any] = {"pulse": (("member", "pulsed_input", "pulse_lag"), every[:, 0])}
    for name, of in (("pulse_gain", np.max), ("pulse_span", _span)):
        values = np.array([[of(curve) for curve in row] for row in every[:, :, strongest]])
        variables[name] = ("member", values[:, 0])
        if groups:
            variables[f"{name}_left_out"] = (("group", "member"), values[:, 1:].T)
    names = [str(name) for name in subject.recording["input"].values]
    return variables, {"pulsed_inputs": names, "strongest_input": names[strongest]}


def _responses(subject: Subject, member: int, n_inputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Return squared distances of expected observations (input, pulse, lag), and the trial of each pulse."""
    loop = driven(subject.fit, subject.recording, member, subject.test)
    n_lags = min(PULSE_STEPS, int(loop.last.max()) // 2) + 1
    time = np.arange(loop.inputs.shape[1])
    trial, bins = np.nonzero(time + n_lags <= loop.last[:, None])
    if not len(trial):
        raise CortseqError("trials are too short for a response to a pulse", key="valid")
    rng = np.random.default_rng([subject.seed, member, 0x9D])
    drawn = np.sort(rng.choice(len(trial), min(_PULSES, len(trial)), replace=False))
    trial, bins = trial[drawn], bins[drawn]
    # a skip connection carries the last observation along, which no pulse changes
    carried = subject.fit.through_gaps(subject.recording, subject.test)[member, ..., loop.states.shape[-1] :]
    one = subject.fit.member(member)
    first = one.network.n_seen(one.p)  # the recorded inputs stand behind what is read of the observation

    def expected(states: torch.Tensor, at: np.ndarray) -> np.ndarray:
        found: np.ndarray = one.expected(np.concatenate([states.numpy(), carried[trial, at]], -1))
        return found

    squares = np.empty((n_inputs, len(trial), n_lags))
    with torch.no_grad():
        for j in range(n_inputs):
            states = loop.states[trial, bins]
            for lag in range(n_lags):  # what is read with bin t holds the recorded inputs of bin t + 1
                x, at = loop.inputs[trial, bins + lag].clone(), bins + lag + 1
                x[:, first + j] += float(lag == 0)
                states = loop.step(states, x)
                moved, still = expected(states, at), expected(loop.states[trial, at], at)
                squares[j, :, lag] = ((moved - still) ** 2).sum(-1)
    return squares, trial


def _span(curve: np.ndarray) -> float:
    """Return the lag at which a response (lag,) falls to 1/e of its top; the last lag where it never does."""
    top = int(curve.argmax())
    return min(top + span(curve[top:]), float(len(curve) - 1))
