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
        "_in_order", "while shown < len(rows) and _shown(rows[shown]) > 0:",
        "while shown < len(rows) and any(_shown(r) > 0 for r in rows[shown:]):", CLAIMS,
    ),
    Fault(
        "Three members are enough for chaos.",
        "chaotic", "if len(values) < ENOUGH_MEMBERS or why:", "if why:", CLAIMS,
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
]  # fmt: skip
