"""Learning a long lag: what a gradient that vanishes costs, and what gates give.

Claim, corrected: a first symbol that decides the last one, `lag` symbols later behind random distractors, is
learned by vanilla networks only over lags of the order of their horizon -1/ln g at the start (g the gain):
beyond, the gradient across the lag is lost before learning has begun. Gates help, but not by being there: an
LSTM with forget bias 1 begins with a direct path of horizon -1/ln sigmoid(1) = 3.2 steps and fails where the
vanilla network does; with a bias whose horizon is of the order of the lag it learns (the textbook names the
gates only). The horizon at the start is no law of its own: a GRU with update bias 1 learns lags of several
horizons, because learning lengthens them.

Bengio, Simard & Frasconi 1994, IEEE Trans Neural Netw 5:157; Hochreiter & Schmidhuber 1997, Neural Comput
9:1735 (experiment 2); Gers, Schmidhuber & Cummins 2000, Neural Comput 12:2451; Jozefowicz, Zaremba &
Sutskever 2015; Tallec & Ollivier 2018.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import lazy, xr
from cortseq.checks import Check, Part, above, below, phenomenon
from cortseq.data import Data
from cortseq.theory import forget_horizon, gradient_growth

if TYPE_CHECKING:
    from cortseq import dynamics, models, recording
    from cortseq.compiled import threads
    from cortseq.models import base
    from cortseq.networks import untrained
else:
    untrained = lazy("cortseq.networks.untrained")
    dynamics, models, recording = (lazy(f"cortseq.{name}") for name in ("dynamics", "models", "recording"))
    base, threads = lazy("cortseq.models.base"), lazy("cortseq.compiled.threads")

CLAIM = (
    "vanilla networks learn lags of the order of their horizon -1/ln g only; gated ones learn longer lags, "
    "an LSTM if "
    "its forget bias begins with a horizon -1/ln sigmoid(b) of that order"
)
SYMBOLS = 5  # two cues, two distractors, the probe before the answer


def measure(
    seed: int = 0,
    say: Callable[[str], Any] = print,
    lags: Sequence[int] = (4, 8, 16, 32),
    members: int = 3,
    hidden: int = 16,
    epochs: int = 80,
    trials: int = 256,
    batch: int = 32,
    learning_rate: float = 1e-2,
    gain: float = 0.9,
    long_bias: float = 4.0,
) -> xr.Dataset:
    """Measure the error on the last symbol against the lag to the first.

    Networks are trained with the project's own descent.

    members : restarts of each network. trials : to learn from, as many to validate and to test on. gain : of
    the vanilla network at the start. long_bias : of the gates that begin with a long horizon (4: 54 steps).
    """
    learning: dict[str, Any] = {"hidden": hidden, "epochs": epochs, "patience": epochs, "batch": batch}
    learning |= {"learning_rate": learning_rate, "input_dropout": 0.0}
    specifications, horizons = _networks(gain, long_bias, learning)
    error, before, after = (np.full((len(specifications), len(lags), members), np.nan) for _ in range(3))
    with threads.single():
        for j, lag in enumerate(lags):
            made = [_recording(lag, trials, np.random.default_rng([seed, lag, role])) for role in range(3)]
            for i, (name, model) in enumerate(specifications.items()):
                say(f"learning_lags: {name}, lag {lag}")
                start = untrained.untrained(model, made[0], members, seed)
                learned = model.learn(_scored(made[0]), _scored(made[1]), base.Run(members, seed))
                fit = replace(start, params=learned.params, card={**start.card, "members": members})
                error[i, j] = wrong(fit, made[2])
                before[i, j] = _reach(start, made[2], lag)
                after[i, j] = _reach(fit, made[2], lag)
    line = np.arange(0, max(lags) + 1)
    dims, in_steps = ("network", "lag", "member"), {"units": "steps"}
    variables = {
        "error": (dims, error),
        "norm_before": (dims, before),
        "norm_after": (dims, after),
        "line": ("line", line, in_steps),
        "norm_predicted": (("network", "line"), [gradient_growth(-1 / h, line) for h in horizons.values()]),
        "horizon_predicted": ("network", list(horizons.values()), in_steps),
    }
    coords = {"network": list(specifications), "lag": ("lag", list(lags), in_steps)}
    checks = _checks(xr.Dataset(variables, coords))
    return phenomenon(CLAIM, [Part(variables, checks, coords)], trials=trials)


def recall(lag: int, trials: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Draw sequences that end with the symbol that they began with.

    A cue (0 or 1), lag - 2 distractors (2 or 3), the probe 4, and the cue again, `lag` after the first.

    Returns
    -------
    A list of `trials` sequences (lag + 1,) of labels.
    """
    cue = rng.integers(2, size=trials)
    noise = rng.integers(2, 4, size=(trials, lag - 2))
    return list(np.column_stack([cue, noise, np.full(trials, 4), cue]))


def _recording(lag: int, trials: int, rng: np.random.Generator) -> xr.Dataset:
    return recording.from_symbols(recall(lag, trials, rng), n_symbols=SYMBOLS)


def _scored(made: xr.Dataset) -> Data:
    """Score the answer only.

    Nothing can be learned about the distractors, whose gradients would be noise.
    """
    data = Data.of(made)
    return replace(data, scored=data.valid & (np.arange(data.y.shape[1]) == data.y.shape[1] - 1))


def wrong(fit: Any, made: xr.Dataset) -> np.ndarray:
    """Share of trials whose last symbol is not the likelier of the two cues, (member,); chance is 1/2."""
    p = fit.predict(made).values[:, :, -1, :2]
    return np.asarray((p.argmax(-1) != made["symbols"].values[:, -1]).mean(1))


def _networks(
    gain: float, long_bias: float, learning: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return specifications by name, and the horizon each begins with in theory."""
    gated = {**learning, "hidden_dropout": 0.0}
    found = {
        f"vanilla, g = {gain:g}": (models.Rate(leak=1, gain=gain, **learning), -1 / np.log(gain)),
        "LSTM, b = 1": (models.Lstm(forget_bias=1.0, **gated), float(forget_horizon(1.0))),
        f"LSTM, b = {long_bias:g}": (
            models.Lstm(forget_bias=long_bias, **gated),
            float(forget_horizon(long_bias)),
        ),
        "GRU, b = 1": (models.Gru(update_bias=1.0, **gated), float(forget_horizon(1.0))),
    }
    return {name: pair[0] for name, pair in found.items()}, {name: pair[1] for name, pair in found.items()}


def _reach(fit: Any, made: xr.Dataset, lag: int, trials: int = 4) -> np.ndarray:
    """Return |dh_t/dh_{t-k}| (spectral) from the state that saw the cue to the one that answers, (member,).

    Geometric mean.
    """
    # the state that saw the cue is that before bin 1, `lag` - 1 steps before the last bin
    norms = dynamics.gradient_norms(fit, made, [lag - 1], trials=range(trials))[..., 0]
    return np.asarray(np.exp(np.log(np.maximum(norms, 1e-300)).mean(1)))


def _checks(found: xr.Dataset) -> list[Check]:
    """At the longest lag, restarts together: single restarts succeed or fail as a whole."""
    error = found["error"].mean("member")
    shortest, longest = int(found["lag"][0]), int(found["lag"][-1])
    vanilla, gated = error.isel(network=0), error.isel(network=slice(1, None))
    best = str(gated["network"][int(gated.isel(lag=-1).values.argmin())].values)
    lstm = gated.isel(lag=-1).values[:2]
    gain = "error of the LSTM with bias 1 less that of the one with the longer horizon, longest lag"
    best_error = f"error of the best gated network at lag {longest} ({best})"
    first, last = float(error.isel(lag=0).max()), float(gated.isel(lag=-1).min())
    return [
        above(gain, 0.5, lstm[0] - lstm[1], 0.1, "C16"),
        below(f"error at lag {shortest}, worst network", 0, first, 0.1, "C14"),
        above(f"error of the vanilla network at lag {longest}", 0.5, vanilla[-1], 0.4, "C14", "chance is .5"),
        below(best_error, 0, last, 0.2, "C16"),
    ]
