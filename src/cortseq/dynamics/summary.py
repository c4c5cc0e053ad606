"""One line per dynamical quantity of a fitted variant.

Its value, its uncertainty, whether the members agree, and whether the controls have it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cortseq._lazy import pd, xr
from cortseq.dynamics.chaos import FEWEST_SEEDS
from cortseq.dynamics.intervals import half_width, share_interval
from cortseq.dynamics.quantities import NEAR, QUANTITIES, Kind, Quantity, mean_of_known
from cortseq.observations.tracks import TRACKS

AGREE = 0.25  # sd over members relative to their mean, up to which a size counts as identified
FEWEST = 3  # members from which a size can be identified, and anything be called learned
EXPONENTS = "leading_exponents"  # of the members, from several starts
CONTROLS = ("untrained", "shuffled")
SAME = 1e-4  # of a size: what rounding may make two equal numbers differ by


def summarise(found: xr.Dataset, controls: Mapping[str, xr.Dataset] | None = None) -> pd.DataFrame:
    """Return the table of a product of `laboratory.examine`, in the order of QUANTITIES.

    Parameters
    ----------
    found : product of the fitted network.
    controls : the same of the network before learning ("untrained") and of the network fitted to its
        recording in shuffled order ("shuffled"), as far as they were examined.

    Returns
    -------
    quantity, unit, map, members, value (mean over members), low, high (95 %), interval (what it is over; see
    docs/dynamics.md), sd (over members), verdict: "identified", "not identifiable: ..." or "one member";
    of the largest exponent "identified: chaotic" or "identified: not chaotic",
    each : the members' values, separated by spaces, untrained, shuffled (means of the controls, NaN without),
    learned : "learned" where the number differs from that of both controls, "unlike untrained" where there is
    no other, else the controls that it cannot be told from; "" where too little is known.
    """
    rows = []
    for quantity in QUANTITIES:
        if quantity.needs in found:
            row = {"quantity": quantity.name, "unit": _unit(quantity, found), "map": quantity.map}
            rows.append(row | _row(quantity, found) | _controlled(quantity, found, controls or {}))
    return pd.DataFrame([*rows, *_not_done(found)])


def chaos(found: xr.Dataset) -> str:
    """Return whether the closed loop is chaotic, in the words that table, figure and claim share."""
    for quantity in QUANTITIES:
        if quantity.needs == EXPONENTS and EXPONENTS in found:
            return str(_row(quantity, found)["verdict"])
    return f"not identifiable: {found.attrs.get('chaotic_reason', 'no exponents from several starts')}"


def _chaos(found: xr.Dataset, sign: str) -> str:
    """Return the verdict on the largest exponents: that on chaos, where members and starts give it a sign."""
    said, reason = found.attrs["chaotic"], found.attrs.get("chaotic_reason", "")
    if said == "no verdict" and sign.startswith("identified"):
        return f"not identifiable: {reason.removeprefix('not identifiable: ')}"
    if not sign.startswith("identified"):
        return sign
    members = found.sizes["member"]
    return f"identified: {said}" + f" in these {members} members" * (members < FEWEST_SEEDS)


def _not_done(found: xr.Dataset) -> list[dict[str, Any]]:
    """Return a line without a value for every analysis that could not be done."""
    reasons = list(found.attrs.get("not_done", []))
    if "lyapunov" not in found and "chaotic_reason" in found.attrs:
        reasons.append(f"largest Lyapunov exponent: {found.attrs['chaotic_reason']}")
    members = found.sizes["member"]
    return [
        {
            "quantity": name,
            "unit": "",
            "map": "",
            "members": members,
            "verdict": f"not done: {reason}",
            "each": "",
        }
        for name, reason in (line.split(": ", 1) for line in reasons)
    ]


def _unit(quantity: Quantity, found: xr.Dataset) -> str:
    timed = TRACKS[found.attrs["track"]].timed
    if quantity.unit.endswith("time"):
        return quantity.unit.replace("time", "s" if timed else "symbol")
    return quantity.unit if timed else quantity.unit.replace("bin", "symbol")


def _row(quantity: Quantity, found: xr.Dataset) -> dict[str, Any]:
    values, left_out = quantity.read(found), quantity.without(found)
    per_member = values if values.ndim == 1 else mean_of_known(values, 1)
    if quantity.share_of:
        members = quantity.share_of == "member"
        shares = np.array([per_member.mean()]) if members else per_member
        low, high = share_interval(shares, found.sizes[quantity.share_of])
        over = "members" if members else f"members and {found.sizes[quantity.share_of]} trials"
    else:
        low, high = _interval(values, left_out)
        over = _over(quantity, found, values, left_out)
    if quantity.kind != "sign":
        low, high = np.clip((low, high), quantity.least, quantity.most)
    known = per_member[np.isfinite(per_member)]
    judged = verdict(per_member, quantity.kind, (low, high))
    if quantity.needs == EXPONENTS and "chaotic" in found.attrs and judged != "one member":
        judged = _chaos(found, judged)
    elif judged == "identified":
        judged = _far(quantity, found) or _apart_or_at_the_end(quantity, per_member)
    # the mean of members one of which is infinite is no number of the others
    infinite = len(known) < len(per_member) and np.isinf(per_member).any()
    return {
        "members": len(per_member),
        "value": np.inf if infinite else known.mean() if len(known) else per_member[0],
        "low": low,
        "high": high,
        "interval": over if np.isfinite(low) else "",
        "sd": known.std(ddof=1) if len(known) > 1 else np.nan,
        "verdict": judged,
        "each": " ".join(f"{v:.4g}" for v in per_member),
    }


def _over(quantity: Quantity, found: xr.Dataset, values: np.ndarray, left_out: np.ndarray | None) -> str:
    """Return what the interval of a mean is over, with the number of trials, or of starts."""
    if not _error_over_trials(values, left_out) > 0:
        return "members"
    if left_out is not None:
        return f"members and {len(left_out)} groups of trials"
    starts = str(found[quantity.needs].dims[1]).endswith("start")
    return f"members and {values.shape[1]} {'starts' if starts else 'trials'}"


def _far(quantity: Quantity, found: xr.Dataset) -> str:
    """Return the verdict on a point that the data say nothing of; "" where it is near them in all members."""
    if not quantity.nearest or "distance" not in found:
        return ""
    away = int((found["distance"].min("point").values > NEAR).sum())
    n = found.sizes["member"]
    return f"not identifiable: no fixed point near the data in {away} of {n} members" if away else ""


def _apart_or_at_the_end(quantity: Quantity, values: np.ndarray) -> str:
    """Return the verdict on a size that the members agree on, but for what the size means."""
    below, n = int((values < quantity.splits).sum()), len(values)
    if not np.isnan(quantity.splits) and 0 < below < n:
        return f"not identifiable: below {quantity.splits:g} in {below} of {n} members"
    reached = int((values >= quantity.most).sum())
    if quantity.capped and reached:
        return f"not identifiable: {quantity.most:g}, where the search ends, in {reached} of {n} members"
    return "identified"


def verdict(values: np.ndarray, kind: Kind, interval: tuple[float, float] | None = None) -> str:
    """Return whether the members (member,) say the same.

    A sign is identified where all members have it and the 95 % interval of their mean excludes 0, a size from
    three members on where their standard deviation is at most a quarter of the mean, a count from three
    members on where it is the same in all. A size that is infinite in every member is none.

    Parameters
    ----------
    interval : of the mean, where trials add to what the spread over members says; None: from the members.
    """
    values = np.asarray(values, dtype=np.float64)
    known = values[~np.isnan(values)]
    if len(values) < 2:
        return "one member"
    if np.isinf(values).all() and (kind != "sign" or len(set(values)) == 1):
        # a sign that is the same, but no size: of transient growth only that the point is unstable
        said = "identified" if kind == "sign" else "not identifiable"
        return f"{said}: infinite in every member"
    if len(known) < len(values) or (kind != "sign" and np.isinf(known).any()):
        counts = {"infinite": int(np.isinf(known).sum()), "undefined": int(np.isnan(values).sum())}
        if kind == "sign":
            counts["infinite"] = 0
        which = " and ".join(f"{word} in {n}" for word, n in counts.items() if n)
        return f"not identifiable: {which} of {len(values)} members"
    if kind == "sign":
        why = _sign(known, interval)
    elif len(known) < FEWEST:
        why = f"{len(known)} members, of at least {FEWEST}"
    elif kind == "count":
        why = "" if (known == known[0]).all() else f"{known.min():g} to {known.max():g}"
    else:
        mean, sd = abs(known.mean()), known.std(ddof=1)
        far = f"sd of the members is {sd:.3g}, their mean {known.mean():.3g}"
        why = "" if sd <= AGREE * mean else far
    return f"not identifiable: {why}" if why else "identified"


def _sign(values: np.ndarray, interval: tuple[float, float] | None) -> str:
    """Return why the members do not share a sign, "" where they do."""
    if not ((values > 0).all() or (values < 0).all()):
        return "signs differ"
    ends = values[np.isfinite(values)]
    if np.isinf(values).any():  # such as the exponent of a map that annihilates: as far out as the others
        interval = _interval(np.clip(values, ends.min(), ends.max()))
    low, high = interval or _interval(values)
    return "" if low > 0 or high < 0 else "the interval holds 0"


def _controlled(quantity: Quantity, found: xr.Dataset, controls: Mapping[str, xr.Dataset]) -> dict[str, Any]:
    """Return the numbers of the controls, and whether that of the fit differs from theirs."""
    row: dict[str, Any] = {name: np.nan for name in CONTROLS}
    apart = {}
    for name, control in controls.items():
        if quantity.needs in control:
            values = quantity.read(control)
            per_member = values if values.ndim == 1 else mean_of_known(values, 1)
            known = per_member[np.isfinite(per_member)]
            row[name] = known.mean() if len(known) else np.nan
            apart[name] = _apart(quantity, found, control)
    return row | {"learned": _learned(apart)}


def _learned(apart: Mapping[str, bool | None]) -> str:
    if not apart or None in apart.values():
        return ""
    like = [name for name in CONTROLS if apart.get(name) is False]
    if like:
        return f"not told from {' and '.join(like)}"
    return "learned" if set(apart) == set(CONTROLS) else f"unlike {' and '.join(apart)}"


def _apart(quantity: Quantity, found: xr.Dataset, control: xr.Dataset) -> bool | None:
    """Return whether fit and control differ: the 95 % interval of the difference excludes 0.

    And it is more than rounding, which is alike in all members, leaves of equal numbers. Members are pairs:
    the same start parameters. Of counts, in which members often agree by their
    coarseness, the ranges must not meet either. None: too few members, or a number that is undefined.
    """
    ours, theirs = quantity.read(found), quantity.read(control)
    n = min(len(ours), len(theirs))
    if n < FEWEST:
        return None
    if ours.shape[1:] != theirs.shape[1:]:
        ours, theirs = (v if v.ndim == 1 else mean_of_known(v, 1) for v in (ours, theirs))
    ours, theirs = ours[:n], theirs[:n]
    with np.errstate(invalid="ignore"):
        difference = ours - theirs
    left_out, other = quantity.without(found), quantity.without(control)
    if left_out is not None and other is not None and left_out.shape == other.shape:
        low, high = _interval(difference, left_out - other)
    else:
        low, high = _interval(difference)
    if not np.isfinite(low):
        return None
    if quantity.kind == "count" and not (ours.min() > theirs.max() or ours.max() < theirs.min()):
        return False
    rounding = SAME * max(np.abs(ours).max(), np.abs(theirs).max())
    return bool(low > rounding or high < -rounding)


def _interval(values: np.ndarray, left_out: np.ndarray | None = None) -> tuple[float, float]:
    """Return the 95 % interval of the mean over members.

    From the spread over members and, where known, over trials.

    Members share their trials: the spread of their means holds nothing of what trials do to all alike.
    """
    per_member = values if values.ndim == 1 else mean_of_known(values, 1)
    m, middle = len(per_member), float(np.mean(per_member))
    trials = _error_over_trials(values, left_out)
    if not np.isfinite(per_member).all() or (m < 2 and not trials > 0):
        return float("nan"), float("nan")
    members = half_width(per_member) if m > 1 else 0.0
    half = float(np.hypot(members, 1.96 * trials))
    return middle - half, middle + half


def _error_over_trials(values: np.ndarray, left_out: np.ndarray | None) -> float:
    """Return the standard error over trials of the mean over members.

    Of the trials' means, or by the jackknife; 0 without.
    """
    if left_out is not None and len(left_out) > 1:
        without = mean_of_known(left_out, 1)
        without = without[np.isfinite(without)]
        n = len(without)
        return 0.0 if n < 2 else float(np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum()))
    if values.ndim == 2 and values.shape[1] > 1:
        of_trial = mean_of_known(values, 0)
        known = of_trial[np.isfinite(of_trial)]
        return float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else 0.0
    return 0.0
