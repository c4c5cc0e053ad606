"""The command `cortseq`: check a study, inspect a file, show a result."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from cortseq import fetch, study
from cortseq.errors import CortseqError


def main(arguments: list[str] | None = None) -> int:
    """Entry point; 0 when all is well, 2 with one line per fault."""
    parser = argparse.ArgumentParser(prog="cortseq", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="validate a study and its raw files without running it")
    check.add_argument("config", type=Path)
    inspect = commands.add_parser("inspect", help="say what a recording file holds")
    inspect.add_argument("file", type=Path)
    show = commands.add_parser("show", help="print the comparison table of a finished study")
    show.add_argument("results", type=Path)
    commands.add_parser("schema", help="print the JSON schema of a study file")
    given = parser.parse_args(arguments)
    try:
        return {"check": _check, "inspect": _inspect, "show": _show, "schema": _schema}[given.command](given)
    except CortseqError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:  # `cortseq show ... | head`
        return 0


def _check(given) -> int:
    plan = study.read(given.config)
    faults = []
    for name, source in plan.datasets.items():
        try:
            fetch.available(source, plan.mirrors)
        except CortseqError as error:
            faults.append(f"{given.config}: datasets.{name}: {error}")
    if faults:
        raise CortseqError("\n".join(faults))
    fits = sum(len(plan.variants(s.track)) for s in plan.datasets.values()) * plan.folds
    print(
        f"{given.config}: {len(plan.datasets)} recording(s), {fits} fits of up to {plan.members} members: fine"
    )
    return 0


def _inspect(given) -> int:
    from cortseq import inspecting

    print("\n".join(inspecting.inspect(given.file)))
    return 0


def _show(given) -> int:
    from cortseq import store
    from cortseq.scoring import compare

    file = given.results if given.results.suffix == ".csv" else given.results / "comparison.csv"
    if not file.is_file():
        raise CortseqError("no finished study here", file=file, fix="run snakemake first")
    print(compare.text(store.read_table(file)))
    return 0


def _schema(given) -> int:
    print(json.dumps(study.schema(), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
