"""The command `cortseq`: check a study, inspect a file, show a result."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from cortseq import fetch, plugins, study
from cortseq.errors import CortseqError, about


def main(arguments: list[str] | None = None) -> int:
    """Entry point; 0 when all is well, 2 with one line per fault."""
    parser = argparse.ArgumentParser(prog="cortseq", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    outside = argparse.ArgumentParser(add_help=False)
    outside.add_argument(
        "--plugin", type=Path, action="append", default=[], metavar="FILE.py",
        help=f"load own models and sources from this file first; may be repeated (as {plugins.VARIABLE})",
    )  # fmt: skip
    check = commands.add_parser(
        "check", parents=[outside], help="validate a study and its raw files without running it"
    )
    check.add_argument("config", type=Path)
    inspect = commands.add_parser("inspect", parents=[outside], help="say what a recording file holds")
    inspect.add_argument("file", type=Path)
    show = commands.add_parser("show", help="print the comparison table of a finished study")
    show.add_argument("results", type=Path)
    commands.add_parser("schema", parents=[outside], help="print the JSON schema of a study file")
    given = parser.parse_args(arguments)
    try:
        for file in getattr(given, "plugin", ()):
            plugins.add(file)
        return {"check": _check, "inspect": _inspect, "show": _show, "schema": _schema}[given.command](given)
    except CortseqError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:  # `cortseq show ... | head`
        return 0


def _check(given: argparse.Namespace) -> int:
    plan = study.read(given.config)
    faults: list[str] = []
    for name, source in plan.datasets.items():
        try:
            with about(given.config, f"datasets.{name}"):
                _check_recording(plan, name, source)
        except CortseqError as error:
            faults += str(error).splitlines()
    if faults:
        raise CortseqError("\n".join(faults))
    fits = sum(len(plan.variants(s.track)) for s in plan.datasets.values()) * plan.folds * bool(plan.models)
    work = [f"{len(plan.datasets)} recording(s), {fits} fits of up to {plan.members} members"]
    work += [f"{len(plan.theory)} phenomena"] * bool(plan.theory)
    print(f"{given.config}: {', '.join(work)}: fine")
    return 0


def _check_recording(plan: study.Study, name: str, source: Any) -> None:
    """Everything that comes before the first fit, without writing anything."""
    from cortseq import preprocess, splits

    file = fetch.available(source, plan.mirrors)
    if file is None and source.needs_file:
        print(
            f"datasets.{name}: not fetched yet, so its content is not checked: {source.url}", file=sys.stderr
        )
        return
    raw = source.load(file, plan.seed)
    with about(file):
        recording = preprocess.preprocess(raw, source)
        splits.split(recording, splits.Deal.of(plan), source, name)
        if plan.burn_in >= recording.sizes["time"]:
            raise CortseqError(
                f"no bin is left of {recording.sizes['time']}", key="burn_in", value=plan.burn_in
            )


def _inspect(given: argparse.Namespace) -> int:
    from cortseq import inspecting

    print("\n".join(inspecting.inspect(given.file)))
    return 0


def _show(given: argparse.Namespace) -> int:
    from cortseq import store
    from cortseq.scoring import words

    file = given.results if given.results.suffix == ".csv" else given.results / "comparison.csv"
    checks = given.results / "theory.csv"
    if checks.is_file():
        print(words.checks(store.read_table(checks)))
        if not file.is_file():
            return 0
    if not file.is_file():
        raise CortseqError("no finished study here", file=file, fix="run snakemake first")
    pooled = file.with_name("sessions.csv")
    print(words.text(store.read_table(file), store.read_table(pooled) if pooled.is_file() else None))
    return 0


def _schema(given: argparse.Namespace) -> int:
    print(json.dumps(study.schema(), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
