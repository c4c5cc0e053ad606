"""A fit scored on a recording that it was not fitted to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cortseq import recording as rec
from cortseq._lazy import xr
from cortseq.data import same_width
from cortseq.errors import CortseqError
from cortseq.metrics import METRICS
from cortseq.models.base import Fit
from cortseq.models.null import Null
from cortseq.scoring import audits, blocks
from cortseq.scoring.statistics import PairedDifference, paired


@dataclass(frozen=True)
class Score:
    """What a fit predicts of a recording that is new to it.

    Attributes
    ----------
    gain : over the null of the recording's own training trials, with interval and p, in units of `metric`.
    metric : name of the score.
    trials, events : that were scored.
    members : of the fit.
    audits : of the fit on this recording.
    learned : trials of the recording that the fit had learned from or chosen on; they are not scored.
    """

    gain: PairedDifference
    metric: str
    trials: int
    events: int
    members: int
    audits: list[audits.Audit]
    learned: int

    def lines(self) -> list[str]:
        """Return the score as lines of text."""
        unit = METRICS[self.metric].label
        found = self.gain
        said = [
            f"{found.estimate:+.4f} {unit} [{found.low:.4f}, {found.high:.4f}] over the mean of the "
            f"recording's training trials, p = {found.p_value:.2g} ({self.trials} test trials, "
            f"{self.events} events, {self.members} members)"
        ]
        if self.learned:
            said.append(f"{self.learned} trials are those that the fit learned from or chose on: not scored")
        return said + [f"audit: {audit.detail}" for audit in self.audits]

    def card(self) -> dict[str, Any]:
        """Return the score as plain numbers and texts."""
        names = ("estimate", "low", "high", "p_value", "pieces")
        return {name: getattr(self.gain, name) for name in names} | {
            "metric": self.metric,
            "trials": self.trials,
            "events": self.events,
            "members": self.members,
            "learned": self.learned,
            "audits": audits.report(self.audits),
        }


def score(fit: Fit, recording: xr.Dataset, roles: dict[str, Any], seed: int = 0) -> Score:
    """Score a fit on the test trials of a recording, beside the null of its training trials.

    The fit keeps its parameters: nothing is learned here but the null, which so knows more of this recording
    than the fit does.

    Parameters
    ----------
    fit : a Fit, of any recording.
    recording : with all units or channels that the fit knows, by name; others are left out.
    roles : "train", "valid" and "test" trials, positions. Trials that the fit learned from or chose on are
        left out of the test trials.
    seed : of the sign flips and of the trials that are audited.

    Raises
    ------
    CortseqError : another kind of recording, bin width or alphabet, units or inputs that are missing, fewer
        than two test trials.
    """
    recording = _known(fit, recording)
    learned = _learned(fit, recording)
    test = np.setdiff1d(np.asarray(roles["test"], int), learned)
    if len(test) < 2:
        raise CortseqError("fewer than two test trials are new to the fit", value=len(test))
    null = Null().fit(recording, roles["train"], roles["valid"])
    events = fit.model.given(recording, test).n_events().sum(1).astype(float)
    place = blocks.place([test], bool(recording.attrs["continuous"]))
    mine, base = (np.nansum(one.log_prob(recording, test).values, -1) for one in (fit, null))
    kind = rec.kind(recording)
    name = f"{fit.model.family} fit"
    found = [audits.causality(name, fit, recording, test, seed)]
    audits.report(found)
    return Score(
        paired(mine, base, events, seed=seed, **place).per(kind.unit_nats),
        kind.metric,
        len(test),
        int(events.sum()),
        int(fit.card["members"]),
        found,
        len(np.intersect1d(np.asarray(roles["test"], int), learned)),
    )


def _known(fit: Fit, recording: xr.Dataset) -> xr.Dataset:
    """Return the recording with the units or channels of the fit, in its order."""
    card, kind = fit.card, rec.kind(recording)
    if rec.track(recording) != card["track"]:
        raise CortseqError(f"the fit is for {card['track']}, the recording holds {rec.track(recording)}")
    width = float(recording.attrs["bin_width"])
    if not same_width(width, card["bin_width"]):
        raise CortseqError(
            f"the fit is for bins of {card['bin_width'] * 1e3:g} ms",
            key="bin_ms",
            value=width * 1e3,
            fix="cut the recording into the same bins",
        )
    wanted, names = list(map(str, card["features"])), rec.features(recording)
    if kind.has_labels and wanted != names:
        raise CortseqError(f"the fit is for the labels {wanted}", key="labels", value=names)
    if kind.has_labels or not wanted or wanted == names:
        return recording
    missing = [name for name in wanted if name not in names]
    if missing:
        raise CortseqError(
            f"{len(missing)} of the {len(wanted)} {kind.feature}s of the fit are not in the recording",
            key=str(kind.dimension),
            value=missing[:5],
            fix="score a recording of the same ones",
        )
    return recording.isel({kind.dimension: [names.index(name) for name in wanted]})


def _learned(fit: Fit, recording: xr.Dataset) -> np.ndarray:
    """Return the trials of this recording that the fit learned from or chose on, (trial,) positions.

    They are known by their digest: none where the recording is another one.
    """
    found: list[int] = []
    for role, trials in fit.card.get("learned_from", {}).items():
        same = max(trials, default=0) < recording.sizes["trial"] and len(trials) > 0
        if same and fit.model.given(recording, trials).digest() == fit.card["learned_sha256"][role]:
            found += trials
    return np.array(sorted(found), int)
