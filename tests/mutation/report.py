"""`docs/mutation.md`: every fault, whether a test saw it, and which."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from mutation.harness import Result

FILE = "docs/mutation.md"
LEAST, LEAST_IN_AREA = 0.9, 0.8  # shares of the faults that must be caught


def totals(results: Sequence[Result]) -> dict[str, tuple[int, int]]:
    """Caught and all faults of every area."""
    areas = sorted({r.area for r in results})
    each = {area: [r for r in results if r.area == area] for area in areas}
    return {area: (sum(r.caught for r in rows), len(rows)) for area, rows in each.items()}


def table(results: Sequence[Result]) -> str:
    """Totals by area as a Markdown table."""
    rows = [
        f"| {area} | {n} | {caught} | {caught / n:.0%} |" for area, (caught, n) in totals(results).items()
    ]
    caught = sum(r.caught for r in results)
    rows.append(f"| **all** | **{len(results)}** | **{caught}** | **{caught / len(results):.0%}** |")
    return "\n".join(["| area | faults | caught | share |", "|---|---|---|---|", *rows])


def page(results: Sequence[Result]) -> str:
    """The whole page."""
    parts = [
        "# Mutation testing",
        "",
        f"{len(results)} single faults were written into the source by hand, one at a time, and the tests nearest to",
        "each were run. A fault is caught when one of them fails. The faults are mistakes that a scientist's code",
        "really has: a score read from the test trials in place of the validation trials, a transposed matrix, a bin",
        "too early, a unit of time. They are listed in `tests/mutation/faults`, one file an area.",
        "",
        "    PYTHONPATH=src:tests python -m mutation --jobs 2",
        "",
        f"seeds all of them again and writes this page; `pytest -m slow tests/mutation` asks that {LEAST:.0%} of all",
        f"faults and {LEAST_IN_AREA:.0%} in every area are caught. {_when(results)}",
        "",
        "The share below is no estimate of what the tests catch of faults that nobody has thought of. The faults and",
        "many of these tests were written together: a fault that survived was given a test, then run again. It says",
        "that none of these mistakes can come back unseen. How many others are seen, only faults written by someone",
        "who has not read the tests can tell.",
        "",
        table(results),
        "",
        *_survivors(results),
    ]
    for area in totals(results):
        parts += [f"## {area}", "", "| fault | inside | caught by |", "|---|---|---|"]
        parts += [_row(r) for r in results if r.area == area]
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def _survivors(results: Sequence[Result]) -> list[str]:
    left = [f"- {r.area}, `{r.inside}`: {r.breaks}" for r in results if not r.caught]
    return ["## Not caught", "", *left, ""] if left else []


def _row(r: Result) -> str:
    by = f"`{_cell(r.by)}`" if r.caught else "**nothing**"
    return f"| {_cell(r.breaks)} | `{r.inside}` | {by} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _when(results: Sequence[Result]) -> str:
    commits = sorted({r.commit for r in results})
    where = f"commit {commits[0]}" if len(commits) == 1 else f"several runs, on commits {', '.join(commits)}"
    return f"Written {datetime.date.today().isoformat()}; results of {where}."
