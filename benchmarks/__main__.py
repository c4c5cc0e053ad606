"""`python -m benchmarks [--only NAME ...] [--output FILE]`: measure, print, write."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from pathlib import Path

from benchmarks import harness

GROUPS = (
    "training",
    "reservoirs",
    "hmm",
    "lds",
    "glm",
    "chains",
    "binning",
    "files",
    "dynamics",
    "startup",
    "gpu",
    "laws",
)


def main(arguments: list[str] | None = None) -> int:
    """0 when everything was measured, whatever the speed; 1 where ours and a peer disagree."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS, help="groups to measure")
    parser.add_argument("--output", type=Path, default=Path("results/bench/bench.json"))
    given = parser.parse_args(arguments)
    start = time.perf_counter()
    try:
        content = measure(given.only)
    except harness.Disagreement as error:
        print(error, file=sys.stderr)
        return 1
    from cortseq import store

    store.write_json(content, given.output)
    print(f"\n{given.output}, {time.perf_counter() - start:.0f} s")
    return 0


def measure(groups) -> dict:
    """Runs `groups` in turn; one line for each row as soon as it is there."""
    rows, found, missing = [], [], []
    print(harness.HEAD, flush=True)
    for group in GROUPS:
        if group not in groups or group == "laws":
            continue
        module = importlib.import_module(f"benchmarks.{group}")
        if group == "gpu" and not module.available():
            missing += module.unmeasured()
            continue
        for case in module.cases():
            absent = [peer.name for peer in case.peers if peer.run is None]
            missing += [f"{case.name} against {name} (not installed)" for name in absent]
            for row in harness.compare(case, getattr(module, "clock", time.process_time)):
                rows.append(row)
                print(harness.line(row), flush=True)
    if "laws" in groups:
        from benchmarks import laws

        missing += laws.unmeasured()
        for law in laws.laws():
            found.append(law)
            print(f"{law.name:<70}{law.slope:>8.3f}  [{law.low:.3f}, {law.high:.3f}]", flush=True)
    for name in missing:
        print(f"not measured: {name}")
    return harness.document(rows, found, missing)


if __name__ == "__main__":
    harness.alone()
    sys.exit(main())
