"""`python -m mutation`: seed faults, print what the tests saw, and write docs/mutation.md."""

from __future__ import annotations

import argparse
import os
import sys

from mutation import faults, harness, report


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m mutation", description=__doc__)
    parser.add_argument("--areas", nargs="+", choices=faults.areas(), help="default: all")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="faults at a time")
    parser.add_argument("--match", default="", help="only faults whose sentence or place holds this text")
    parser.add_argument("--survivors", action="store_true", help="only faults that no test is known to catch")
    parser.add_argument("--page", action="store_true", help="run nothing: write the page of the last results")
    given = parser.parse_args()
    chosen = harness.everything(given.areas)
    if given.match:
        chosen = [(area, f) for area, f in chosen if given.match in f.breaks or given.match in f.inside]
    if given.survivors:
        caught = {key for key, result in harness.known().items() if result.caught}
        chosen = [(area, f) for area, f in chosen if f.key() not in caught]
    if not given.page and chosen:
        results = harness.run(chosen, given.jobs, lambda line: print(line, flush=True))
        print(f"\n{report.table(results)}\n")
        for result in results:
            if not result.caught:
                print(f"survived: {result.area}, {result.inside}: {result.breaks}")
    known, every = harness.known(), harness.everything()
    missing = [f for _, f in every if f.key() not in known]
    if missing:
        print(f"{report.FILE} is not written: {len(missing)} of {len(every)} faults have not been run")
        return 0
    page = report.page([known[f.key()] for _, f in every])
    (harness.ROOT / report.FILE).write_text(page)
    print(f"{report.FILE} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
