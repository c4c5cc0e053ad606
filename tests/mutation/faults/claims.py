"""Which claim may I make?"""

from mutation.records import Fault

CLAIMS = ("test_claims.py",)

FAULTS = [
    Fault(
        "A network that beats a bad chain has won.",
        "_above_all", "if not why or claim.answer != YES:", "if True:", CLAIMS,
    ),
    Fault(
        "A chain that loses to the null is something to beat.",
        "chain", 'if row["reference"] == "null":', "if False:", CLAIMS,
    ),
    Fault(
        "A network that learned nothing is called chaotic.",
        "nothing_learned", 'if row["learning"] == NOTHING:', "if False:", CLAIMS,
    ),
    Fault(
        "A window or horizon counts although a shorter one shows nothing.",
        "_in_order", "while shown < len(rows) and holds(rows[shown]):",
        "while shown < len(rows) and any(holds(r) for r in rows[shown:]):", CLAIMS,
    ),
    Fault(
        "What learning from windows costs counts as memory.",
        "_helps", "_shown(row) > 0 and late", "_shown(row) > 0", CLAIMS,
    ),
    Fault(
        "A closed loop is called chaotic whose table calls it not chaotic.",
        "chaotic", "if verdict.startswith(words)", "if words", CLAIMS,
    ),
    Fault(
        "The worst of many measures of free runs is tested as if it were the only one.",
        "free", "(gaps[worst], n, NEAR_RULER)", "(gaps[worst], 1, NEAR_RULER)", CLAIMS,
    ),
    Fault(
        "A high correlation of a free run counts against it.",
        "_gaps", "1, -1)", "-1, 1)", CLAIMS,
    ),
    Fault(
        "A line attractor of most members is one of the network.",
        "line", "elif k == m:", "elif 2 * k > m:", ("test_claims.py",),
    ),
    Fault(
        "A forecast that too few futures leave too low is said to be worse than the rival's.",
        "_beside_rival", 'sign and not one["biased"]', "sign", ("test_claims.py -k forecasts",),
    ),
    Fault(
        "Horizons at which a forecast is held against the rival's are not adjusted for each other.",
        "_beside_rival", 'one | {"p_value": p}', "one", ("test_claims.py -k forecasts",),
    ),
    Fault(
        "Numbers that are 0 in every member count as agreement.",
        "_agreed", "~np.array(nothing)", "np.array(nothing) | True", ("test_claims.py -k agreement",),
    ),
    Fault(
        "The claim on chaos leaves out how much starts differ.",
        "chaotic", "low, high = _stated(found.dynamics, EXPONENT)", "_, low, high, *_ = _over_members(values)", ("test_claims.py -k chaos",),
    ),
    Fault(
        "The bias of the second model's forecasts is not told.",
        "horizon_difference", 'row["biased"] or _matters(left, row)', 'row["biased"]', ("test_predictions.py -k two_models",),
    ),
    Fault(
        "The past is said to add to the inputs where the interval holds 0.",
        "past", "corners.shown(history)", 'history["value"] > 0', ("test_claims.py -k past",),
    ),
]  # fmt: skip
