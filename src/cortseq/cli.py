"""The command `cortseq`: write, check and run a study, inspect a file, show a result, score a fit."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from cortseq import __version__, plugins
from cortseq.errors import CortseqError, about


def main(arguments: list[str] | None = None) -> int:
    """Entry point; 0 when all is well, 2 with one line per fault."""
    words = sys.argv[1:] if arguments is None else arguments
    own = words[: words.index("--")] if "--" in words else words
    given = _parser().parse_args(own)
    given.more = words[len(own) + 1 :]  # for Snakemake
    if given.more and given.command not in ("run", "demo"):
        _parser().error("arguments after -- are for `run` and `demo`")
    try:
        for file in getattr(given, "plugin", ()):
            plugins.add(file)
        return _COMMANDS[given.command](given)
    except CortseqError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:  # `cortseq show ... | head`
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cortseq", description=__doc__)
    parser.add_argument("--version", action="version", version=f"cortseq {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    outside = argparse.ArgumentParser(add_help=False)
    outside.add_argument(
        "--plugin",
        type=Path,
        action="append",
        default=[],
        metavar="FILE.py",
        help=f"load own models and sources from this file first; may be repeated (as {plugins.VARIABLE})",
    )
    run = commands.add_parser(
        "run",
        parents=[outside],
        help="run a study in this folder: comparison, dynamics, figures, report",
        epilog="examples: cortseq run my_study.yaml --cores 4; cortseq run my_study.yaml --until comparison; "
        "cortseq run my_study.yaml -- --unlock (what follows -- goes to Snakemake)",
    )
    run.add_argument("config", type=Path, nargs="?", metavar="STUDY", help="default: the default study")
    _running(run)
    run.add_argument(
        "--until",
        choices=("comparison", "dynamics", "report"),
        default="report",
        help="stop after this product",
    )
    run.add_argument("--profile", default="", help="slurm, or a folder with a profile of Snakemake")
    run.add_argument("-n", "--dry-run", action="store_true", help="only say what would be done")
    demo = commands.add_parser("demo", help="write demo.yaml here and run it: a minute or two")
    _running(demo)
    _add_reading(commands, outside)
    _add_results(commands, outside)
    return parser


def _add_reading(commands: Any, outside: argparse.ArgumentParser) -> None:
    """Add the commands that read files before a study runs."""
    check = commands.add_parser(
        "check", parents=[outside], help="validate a study and its raw files without running it"
    )
    check.add_argument("config", type=Path)
    check.add_argument("--cores", type=int, help="of the estimate; default: all that this process may use")
    check.add_argument("--json", action="store_true", help="print what was found as JSON")
    inspect = commands.add_parser("inspect", parents=[outside], help="say what a recording file holds")
    inspect.add_argument("files", type=Path, nargs="+", metavar="FILE")
    new = commands.add_parser("new", parents=[outside], help="write a commented study for recording files")
    new.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="a recording: file, folder or http address; a table of trials follows the spikes it belongs to",
    )
    new.add_argument(
        "-o", "--out", type=Path, metavar="STUDY.yaml", help="default: named after the first file"
    )
    commands.add_parser("schema", parents=[outside], help="print the JSON schema of a study file")


def _add_results(commands: Any, outside: argparse.ArgumentParser) -> None:
    """Add the commands that read what a study made."""
    show = commands.add_parser("show", help="print the comparison table of a finished study")
    show.add_argument("results", type=Path)
    diff = commands.add_parser(
        "diff", help="say what differs between two studies: settings, data, code, choices, scores"
    )
    diff.add_argument("first", type=Path, metavar="RESULTS_A")
    diff.add_argument("second", type=Path, metavar="RESULTS_B")
    score = commands.add_parser(
        "score", parents=[outside], help="score a fit on recordings that it was not fitted to"
    )
    score.add_argument("fit", type=Path, metavar="FIT", help="a .safetensors file, its card .json beside it")
    score.add_argument("config", type=Path, metavar="STUDY", help="study whose datasets are scored")
    score.add_argument("--dataset", help="one of them; default: all")
    score.add_argument("--json", action="store_true", help="print what was found as JSON")


def _running(parser: argparse.ArgumentParser) -> None:
    """Add what `run` and `demo` have in common."""
    parser.add_argument("--cores", type=int, help="default: all that this process may use")
    parser.add_argument("--quiet", action="store_true", help="say nothing of what goes well")


def _run(given: argparse.Namespace) -> int:
    from cortseq import running

    config = given.config or running.default_study()
    if not config.is_file():
        raise CortseqError("no such study", file=config, fix="`cortseq new FILE` writes one")
    how = {"until": given.until, "profile": given.profile, "dry_run": given.dry_run}
    return _ran(config, given, **how)


def _demo(given: argparse.Namespace) -> int:
    from cortseq import running

    config = Path("demo.yaml")
    if not config.exists():
        config.write_text(running.DEMO, encoding="utf-8")
    return _ran(config, given)


def _ran(config: Path, given: argparse.Namespace, **how: Any) -> int:
    """Run a study; print its table, and where its report is."""
    from cortseq import running, stages, study
    from cortseq.stages import estimate

    plan, until = stages.Plan(study.read(config), None), how.get("until", "report")
    cores = given.cores or (None if how.get("profile") else estimate.usable())
    status = running.run(config, plan, cores=cores, quiet=given.quiet, more=given.more, **how)
    if status or how.get("dry_run") or given.more:
        return status
    if until == "dynamics":
        print("\n".join(f"Dynamics: {Path(file).resolve()}" for file in plan.every("dynamics_tables")))
        return 0
    if plan.compares:
        _show(argparse.Namespace(results=Path(plan.out)))
    if until == "report":
        print(f"Report: {Path(plan.out, 'report.html' if plan.compares else 'theory.html').resolve()}")
    return 0


def _check(given: argparse.Namespace) -> int:
    from cortseq import checking, sessions, study
    from cortseq.stages import estimate

    plan = study.read(given.config)
    faults: list[str] = []
    found = []
    for name, source in plan.datasets.items():
        try:
            with about(given.config, f"datasets.{name}"):
                facts = checking.dataset(plan, name, source)
        except CortseqError as error:
            faults += str(error).splitlines()
            continue
        if facts is None:
            print(
                f"datasets.{name}: not fetched yet, so its content is not checked: {source.url}",
                file=sys.stderr,
            )
            continue
        found.append(facts)
        if not given.json:
            print("\n".join(checking.lines(facts)))
    faults += sessions.unlike(plan, found)
    fits = sum(len(plan.variants(s.track, name)) for name, s in plan.datasets.items())
    fits *= plan.folds * bool(plan.models)
    sizes = {facts["dataset"]: checking.size(facts) for facts in found}
    cost = {} if faults else estimate.of_study(plan, sizes, given.cores or estimate.usable())
    if given.json:
        said = {"study": str(given.config), "fits": fits, "datasets": found, "faults": faults}
        print(json.dumps({**said, "estimate": cost or None}, indent=1))
    if faults:
        raise CortseqError("\n".join(faults))
    work = [f"{len(plan.datasets)} recording(s), {fits} fits of up to {plan.members} members"]
    work += [f"{len(plan.theory)} phenomena"] * bool(plan.theory)
    if not given.json:
        print("\n".join(estimate.lines(cost)))
        print(f"{given.config}: {', '.join(work)}: fine")
    return 0


def _inspect(given: argparse.Namespace) -> int:
    from cortseq import inspecting

    for file in given.files:
        print("\n".join([*([f"== {file}"] if len(given.files) > 1 else []), *inspecting.inspect(file)]))
    return 0


def _new(given: argparse.Namespace) -> int:
    from cortseq import entries, outline, study

    out = given.out or Path(f"{entries.slug(entries.stem(Path(given.files[0]).name)) or 'study'}.yaml")
    if out.exists():
        raise CortseqError(
            "is there already and is not overwritten", file=out, key="-o", fix="name another file"
        )
    text = outline.study(given.files, out)
    out.write_text(text, encoding="utf-8")
    print(f"{out}: {len(study.read(out).datasets)} dataset(s); next: cortseq check {out}")
    return 0


def _show(given: argparse.Namespace) -> int:
    from cortseq import store
    from cortseq.scoring import printed

    file = given.results if given.results.suffix == ".csv" else given.results / "comparison.csv"
    checks = given.results / "theory.csv"
    if checks.is_file():
        print(printed.checks(store.read_table(checks)))
        if not file.is_file():
            return 0
    if not file.is_file():
        raise CortseqError("no finished study here", file=file, fix="run the study first: cortseq run")
    pooled = file.with_name("sessions.csv")
    print(printed.text(store.read_table(file), store.read_table(pooled) if pooled.is_file() else None))
    return 0


def _diff(given: argparse.Namespace) -> int:
    from cortseq import differing

    found = differing.lines(given.first, given.second)
    print("\n".join(found) if found else "nothing differs in the fits, the choices and the scores")
    return int(bool(found))


def _score(given: argparse.Namespace) -> int:
    from cortseq import checking, models, study
    from cortseq.scoring import stranger

    plan, fit, found = study.read(given.config), models.load(given.fit), {}
    names = [given.dataset] if given.dataset else list(plan.datasets)
    for name in names:
        if name not in plan.datasets:
            raise CortseqError("no such dataset", file=given.config, key="--dataset", value=name)
        with about(given.config, f"datasets.{name}"):
            recording, manifest = checking.recording(plan, name)
            found[name] = stranger.score(fit, recording, manifest["folds"][0], plan.seed)
        if not given.json:
            print("\n".join(f"{name}: {line}" for line in found[name].lines()))
    if given.json:
        print(json.dumps({name: one.card() for name, one in found.items()}, indent=1))
    return 0


def _schema(given: argparse.Namespace) -> int:
    from cortseq import study

    print(json.dumps(study.schema(), indent=1))
    return 0


_COMMANDS = {
    "run": _run,
    "demo": _demo,
    "check": _check,
    "inspect": _inspect,
    "new": _new,
    "show": _show,
    "diff": _diff,
    "score": _score,
    "schema": _schema,
}


if __name__ == "__main__":
    sys.exit(main())
