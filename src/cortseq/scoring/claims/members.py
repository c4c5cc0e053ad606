"""Claims on what the fitted network is, from its members: chaos, line attractor, restarts, free runs."""

from __future__ import annotations

from typing import Any

import numpy as np

from cortseq._lazy import pd, special
from cortseq.metrics import METRICS
from cortseq.scoring.claims.base import (
    ENOUGH_MEMBERS,
    NO,
    NOT_ASKED,
    UNDECIDED,
    YES,
    Claim,
    nothing_learned,
    silent,
)
from cortseq.scoring.evidence import Evidence
from cortseq.scoring.statistics import FEWEST_RESTARTS, LEVEL

MEMBERS, MORE_MEMBERS = f"`members: {ENOUGH_MEMBERS}`", f"`members: {2 * ENOUGH_MEMBERS}`"
EXPONENT, LINE, SLOWEST = (
    "largest Lyapunov exponent",
    "line attractor (share of members)",
    "slowest time constant, nearest point",
)
LOOPS = {  # quantity -> the points whose loops it counts
    "loops of the slow points near the data (b1)": "the slow points near the data",
    "loops of the visited states (b1)": "the visited states",
}
_CHAOS = {"identified: chaotic": YES, "identified: not chaotic": NO}  # of the verdict on the largest exponent
# equally good members that disagree: more of them disagree as well
MORE_DATA = "more training trials: members that predict as well disagree, so the recording leaves it open"
NEAR_RULER = 0.1  # of a free run's measure from what two halves of the recording reach: no worse than that


def chaotic(found: Evidence, row: dict[str, Any]) -> Claim:
    """Say whether the closed loop is chaotic, by the verdict in the table of its dynamics."""
    question = "Is it chaotic?"
    row, instead = _moving(found, row)
    if claim := silent(question, row):
        return claim
    values, unit, why = _quantity(found.dynamics, EXPONENT)
    if not len(values):
        return _not_analysed(question, why)
    mean, _, _, p, detectable = _over_members(values)
    low, high = _stated(found.dynamics, EXPONENT)
    name, verdict = row["variant"], _verdict(found.dynamics, EXPONENT)
    answer = next((a for words, a in _CHAOS.items() if verdict.startswith(words)), UNDECIDED)
    if answer == UNDECIDED:
        said = f"No claim, as the largest Lyapunov exponent is {why or verdict}."
    else:
        said = f"The closed loop of {name} is {verdict.removeprefix('identified: ')}."
    said += instead
    test = f"t test over {len(values)} members; verdict and interval as in the table of its dynamics"
    settle = MEMBERS if len(values) < ENOUGH_MEMBERS else MORE_DATA
    settle = settle if answer == UNDECIDED else ""
    return Claim(question, answer, said, name, mean, low, high, unit, test, p, detectable, settle)


def line(found: Evidence, row: dict[str, Any]) -> Claim:
    """Say whether slow points of the closed loop form a line along a neutral direction in every member."""
    question = "Does it have a line attractor (a slow direction)?"
    row, instead = _moving(found, row)
    if claim := silent(question, row):
        return claim
    values, _, why = _quantity(found.dynamics, LINE)
    if not len(values):
        return _not_analysed(question, why)
    m, k, name = len(values), int(values.sum()), row["variant"]
    low, high = _exact(k, m)
    if m < ENOUGH_MEMBERS:
        answer, said = UNDECIDED, f"{k} of {m} members of {name} have one. No claim: {m} members are too few."
    elif k == m:
        answer, said = YES, f"Slow points of every member of {name} lie on a line with one neutral direction."
    elif k == 0:
        answer, said = NO, f"No member of {name} has slow points on a line with one neutral direction."
    else:
        answer, said = UNDECIDED, f"{k} of {m} members of {name} have one: equally good fits disagree."
    said += _ring(found.dynamics) + _slowest(found.dynamics) + instead
    more = MEMBERS if m < ENOUGH_MEMBERS else MORE_DATA
    settle = more if answer == UNDECIDED else ""
    test = f"exact binomial interval over {m} members"
    return Claim(question, answer, said, name, k / m, low, high, "of the members", test, settle=settle)


def _moving(found: Evidence, row: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the row of the network whose dynamics are known, and a sentence where it is not the best one."""
    other = found.moving or row
    if other["variant"] == row["variant"]:
        return row, ""
    return other, f" {row['variant']}, which validation puts first, has no dynamics that can be analysed."


def _ring(dynamics: pd.DataFrame) -> str:
    """Return in how many members slow points or visited states make one loop, in sentences; "": in none."""
    said = ""
    for name, points in LOOPS.items():
        loops, _, _ = _quantity(dynamics, name)
        if k := int((loops == 1).sum()):
            where = "every member" if k == len(loops) else f"{k} of {len(loops)} members"
            said += f" In {where} {points} make one loop, as on a ring or a cycle."
    return said


def _slowest(dynamics: pd.DataFrame) -> str:
    """Return how long the slowest decaying mode lasts, as a sentence; "" where that is not known."""
    slow, unit, _ = _quantity(dynamics, SLOWEST)
    if not len(slow):
        return ""
    unit += "s" * (unit == "symbol")
    where = " At the fixed point nearest to the data the slowest decaying mode lasts"
    (verdict,) = dynamics.loc[dynamics["quantity"] == SLOWEST, "verdict"]
    if str(verdict).startswith("identified"):
        return f"{where} {slow.mean():.3g} {unit}, mean over members."
    return f"{where} {slow.min():.3g} to {slow.max():.3g} {unit} ({verdict})."


def _quantity(dynamics: pd.DataFrame, name: str) -> tuple[np.ndarray, str, str]:
    """Return a quantity's values (member,), its unit, and why an analysis gave no verdict."""
    if dynamics.empty:
        return np.empty(0), "", "the dynamics of this network were not analysed"
    rows = dynamics[dynamics["quantity"] == name]
    said = rows[rows["verdict"].str.startswith("not done: ")]["verdict"]
    why = said.iloc[0].removeprefix("not done: ") if len(said) else ""
    known = rows[rows["each"].notna() & (rows["each"] != "")]
    values = [float(v) for v in str(known["each"].iloc[0]).split()] if len(known) else []
    unit = str(known["unit"].iloc[0]) if len(known) and isinstance(known["unit"].iloc[0], str) else ""
    if not np.isfinite(values).all():
        return np.empty(0), unit, why or "it is undefined in some members"
    return np.array(values), unit, why or ("" if values else "this was not analysed")


def _stated(dynamics: pd.DataFrame, name: str) -> tuple[float, float]:
    """Return the interval of a quantity in the table, which holds more than the spread over members."""
    line = dynamics[(dynamics["quantity"] == name) & (dynamics["each"].fillna("") != "")].iloc[0]
    return float(line["low"]), float(line["high"])


def _verdict(dynamics: pd.DataFrame, name: str) -> str:
    """Return the verdict of a quantity that was measured."""
    known = (dynamics["quantity"] == name) & (dynamics["each"].fillna("") != "")
    return str(dynamics.loc[known, "verdict"].iloc[0])


def _not_analysed(question: str, why: str) -> Claim:
    settle = MEMBERS if "seeds" in why else "a network of the whole past (no `memory`) that can be analysed"
    return Claim(question, NOT_ASKED, f"No claim: {why}.", settle=settle)


def _over_members(
    values: np.ndarray, tests: int = 1, against: float = 0.0
) -> tuple[float, float, float, float, float]:
    """Return the mean of values (member,), its 95 % interval, two-sided p of `against`, detectable distance.

    tests : means that are looked at together; the interval is then wider and p larger (Bonferroni).
    """
    m, mean = len(values), float(values.mean())
    if m < 2:
        return mean, np.nan, np.nan, np.nan, np.nan
    error, far = float(values.std(ddof=1) / np.sqrt(m)), mean - against
    quantile = float(special.stdtrit(m - 1, 1 - LEVEL / 2 / tests))
    half, detectable = quantile * error, (quantile + float(special.stdtrit(m - 1, 0.8))) * error
    p = 2 * float(special.stdtr(m - 1, -abs(far) / error)) if error > 0 else float(far == 0)
    return mean, mean - half, mean + half, min(1.0, tests * p), detectable


def _exact(k: int, m: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a share k / m (Clopper & Pearson 1934, Biometrika 26:404)."""
    from scipy.stats import binomtest

    ends = binomtest(k, m).proportion_ci(0.95, method="exact")
    return float(ends.low), float(ends.high)


# -- restarts ---------------------------------------------------------------------------------------


def stable(found: Evidence, row: dict[str, Any]) -> Claim:
    """Say whether restarts of the network score alike: their standard deviation against the margin."""
    question = "Does it score the same from every random start?"
    m, name, margin = int(row["members"]), row["variant"], found.margin
    unit = METRICS[row["metric"]].label
    if m < 2:
        said = f"{name} was fitted once, or has no random start."
        return Claim(question, NOT_ASKED, said, settle=MEMBERS)
    sd, f = float(row["member_sd"]), m - 1
    low, high = (float(sd * np.sqrt(f / special.chdtri(f, q))) for q in (0.025, 0.975))
    ratio = f * (sd / margin) ** 2
    p = 2 * min(float(special.chdtrc(f, ratio)), float(special.chdtr(f, ratio)))
    if m >= FEWEST_RESTARTS and high < margin:
        answer, said = YES, f"Members of {name} differ by less than {margin:g} {unit} (standard deviation)."
    elif m >= FEWEST_RESTARTS and low > margin:
        answer, said = NO, f"Members of {name} differ by more than {margin:g} {unit} (standard deviation)."
    else:
        answer, said = (
            UNDECIDED,
            f"{m} members leave open whether their standard deviation is below {margin:g} {unit}.",
        )
    alone = _moving(found, row)[1]
    agreed = "" if nothing_learned(row) or alone else _agreed(found.dynamics)
    settle = (MEMBERS if m < ENOUGH_MEMBERS else MORE_MEMBERS) if answer == UNDECIDED else ""
    test = f"chi-squared test of the standard deviation against {margin:g}, {m} members"
    return Claim(question, answer, said + agreed, name, sd, low, high, unit, test, p, settle=settle)


def _agreed(dynamics: pd.DataFrame) -> str:
    """Return how many quantities of the dynamics the members agree on, as a sentence.

    What is 0 in every member, such as gradients that explode in a network that cannot, shows no agreement.
    """
    if dynamics.empty:
        return ""
    nothing = [set(str(each).split()) == {"0"} for each in dynamics["each"]]
    judged = dynamics.loc[~np.array(nothing), "verdict"].astype(str)
    same, other = judged.str.startswith("identified").sum(), judged.str.startswith("not identif").sum()
    if not same + other:
        return ""
    beside = " that are not 0 in all of them" if any(nothing) else ""
    return f" Of {same + other} quantities of their dynamics{beside} they agree on {same}."


# -- free runs --------------------------------------------------------------------------------------

_FREE = {
    YES: "Free runs of {} are less than {:g} further from the recording than its halves are from each other.",
    NO: "Free runs of {} differ from the recording by more than {:g}, most clearly in {worst}.",
    UNDECIDED: "Free runs of {} may or may not differ from the recording by more than {:g}; least sure to "
    "agree is {worst}.",
}


def free(found: Evidence, row: dict[str, Any]) -> Claim:
    """Say whether free runs come as close to the recording as its own halves come to each other.

    The gap of a statistic is how much worse a free run agrees with half of the recording than the other half
    does. yes: every gap is below NEAR_RULER (each at level 0.05, together too); no: some gap is above it,
    Bonferroni over statistics. Number, interval and p are those of the statistic that is least below it.
    """
    question = "Does it run freely like the recording?"
    if claim := silent(question, row):
        return claim
    gaps = _gaps(found.generation)
    if not gaps:
        said = "There are no free runs: the model cannot replay inputs, or they could not be made."
        return Claim(question, NOT_ASKED, said)
    n, m, name = len(gaps), len(next(iter(gaps.values()))), row["variant"]
    if m < FEWEST_RESTARTS:
        return Claim(question, UNDECIDED, f"No claim on {m} members.", name, settle=MEMBERS)
    not_near = {what: _not_below(values, NEAR_RULER) for what, values in gaps.items()}
    worst = max(gaps, key=lambda what: (not_near[what], gaps[what].mean()))
    test = f"t tests over {m} members of {n} measures against a gap of {NEAR_RULER:g}"
    if not_near[worst] < LEVEL:
        answer, p = YES, not_near[worst]
        mean, low, high, _, detectable = _over_members(gaps[worst])
    else:
        mean, low, high, p, detectable = _over_members(gaps[worst], n, NEAR_RULER)
        test += "; interval and p: Bonferroni over these" * (n > 1)
        answer = NO if low > NEAR_RULER else UNDECIDED
    settle = (MEMBERS if m < ENOUGH_MEMBERS else MORE_MEMBERS) if answer == UNDECIDED else ""
    said = _FREE[answer].format(name, NEAR_RULER, worst=worst) + _away(found.generation)
    return Claim(
        question, answer, said, name, mean, low, high, f"gap in {worst}", test, p, detectable, settle
    )


def _away(generation: pd.DataFrame) -> str:
    """Return in how many members activity runs away, as a sentence; "" where it does in none.

    That is where mean counts are further from the recorded ones than silence would be.
    """
    counts = (generation["statistic"] == "mean counts") & (generation["measure"] == "error")
    off = generation[counts].groupby("member")["value"].mean()
    away = off[off > 1]
    if away.empty:
        return ""
    size = f"{away.min():.3g} to {away.max():.3g} times" if len(away) > 1 else f"{away.iloc[0]:.3g} times"
    return f" They run away in {len(away)} of {len(off)} members: mean counts are off by {size} their size."


def _not_below(values: np.ndarray, bound: float) -> float:
    """Return the one-sided p of the t test that the mean of values (member,) is below a bound."""
    mean, *_, p, _ = _over_members(values, against=bound)
    return p / 2 if mean < bound else 1 - p / 2


def _gaps(generation: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return by statistic and measure how much worse than the ruler each member is, (member,)."""
    if generation.empty:
        return {}
    worse = generation["ruler"] - generation["value"]
    sign = np.where(generation["measure"] == "correlation", 1, -1)
    table = generation.assign(gap=worse * sign).groupby(["statistic", "measure", "member"], sort=False)["gap"]
    found: dict[str, np.ndarray] = {}
    for (statistic, measure), gaps in table.mean().groupby(level=[0, 1], sort=False):
        if np.isfinite(gaps.to_numpy()).all():
            found[f"{statistic} ({measure})"] = gaps.to_numpy(float)
    return found
