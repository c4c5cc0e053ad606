"""Ask whether a recurrent network explains a neural recording better than a Markov chain."""

from __future__ import annotations

import io
import json
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cortseq import __version__, plugins
from cortseq.errors import CortseqError, about

_LOOKS: dict[str, Any] = {
    "context_settings": {"help_option_names": ["-h", "--help"]},
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
}
_FIRST = (
    "First: `cortseq demo`. With a recording of your own: `cortseq new FILE`, then `cortseq check "
    "STUDY.yaml`, then `cortseq run STUDY.yaml`. `cortseq COMMAND -h` has the options of a command."
)
app = typer.Typer(name="cortseq", help=__doc__, epilog=_FIRST, no_args_is_help=True, **_LOOKS)

# -- what several commands are asked --------------------------------------------------------------------

Study = Annotated[Path, typer.Argument(metavar="STUDY", help="file of a study")]
Cores = Annotated[int | None, typer.Option(min=1, help="default: all that this process may use")]
Quiet = Annotated[bool, typer.Option("--quiet", help="say nothing of what goes well")]
AsJson = Annotated[bool, typer.Option("--json", help="print what was found as JSON")]
Plugins = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        metavar="FILE.py",
        help=f"load own models and sources from this file first; may be repeated (as {plugins.VARIABLE})",
    ),
]


class Until(StrEnum):
    """Products after which a run may stop."""

    comparison = "comparison"
    dynamics = "dynamics"
    report = "report"


def main(arguments: list[str] | None = None) -> int:
    """Entry point; 0 when all is well, 2 with one line per fault."""
    words = sys.argv[1:] if arguments is None else arguments
    own = words[: words.index("--")] if "--" in words else words
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without the letters of a name shows ?
            stream.reconfigure(errors="replace")
    try:
        # what follows -- is for Snakemake
        typer.main.get_command(app).main(own, prog_name="cortseq", obj=words[len(own) + 1 :])
    except SystemExit as ended:
        return int(ended.code or 0)
    except CortseqError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _version(asked: bool) -> None:
    if asked:
        print(f"cortseq {__version__}")
        raise typer.Exit


@app.callback()
def _begin(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    if context.obj and context.invoked_subcommand not in ("run", "demo"):
        context.fail("arguments after -- are for `run` and `demo`")


def _is_study(file: Path) -> None:
    """Raise a CortseqError where a recording was given in place of a study."""
    from cortseq import proposing

    if file.exists() and file.suffix.lower() not in (".yaml", ".yml", ".json") and proposing.candidates(file):
        fix = f"`cortseq new {shlex.quote(str(file))}` writes a study for it"
        raise CortseqError("is a recording, not a study", file=file, fix=fix)


def _load(files: list[Path] | None) -> None:
    for file in files or ():
        plugins.add(file)


def _end(status: int) -> None:
    """End the command with a status, where it is none of success."""
    if status:
        raise typer.Exit(status)


# -- a study is run --------------------------------------------------------------------------------------


@app.command(
    epilog="Examples: cortseq run my_study.yaml --cores 4; cortseq run my_study.yaml --until comparison; "
    "cortseq run my_study.yaml -- --unlock (what follows -- goes to Snakemake)."
)
def run(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Argument(metavar="STUDY", help="default: the default study", show_default=False)
    ] = None,
    cores: Cores = None,
    quiet: Quiet = False,
    until: Annotated[Until, typer.Option(help="stop after this product")] = Until.report,
    profile: Annotated[str, typer.Option(help="slurm, or a folder with a profile of Snakemake")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="only say what would be done")] = False,
    plugin: Plugins = None,
) -> None:
    """Run a study in this folder, to its report."""
    from cortseq import running

    _load(plugin)
    file = config or running.default_study()
    _is_study(file)
    if not file.is_file():
        raise CortseqError("no such study", file=file, fix="`cortseq new FILE` writes one")
    how = {"until": until.value, "profile": profile, "dry_run": dry_run}
    _end(_ran(file, cores, quiet, context.obj or [], **how))


@app.command()
def demo(context: typer.Context, cores: Cores = None, quiet: Quiet = False) -> None:
    """Write demo.yaml here and run it: a minute or two."""
    from cortseq import running

    config = Path("demo.yaml")
    if not config.exists():
        config.write_text(running.DEMO, encoding="utf-8")
    _end(_ran(config, cores, quiet, context.obj or []))


def _ran(config: Path, cores: int | None, quiet: bool, more: list[str], **how: Any) -> int:
    """Run a study; print its table, and where its report is."""
    from cortseq import running, stages, study
    from cortseq.stages import estimate

    plan, until = stages.Plan(study.read(config), None), how.get("until", "report")
    cores = cores or (None if how.get("profile") else estimate.usable())
    status = running.run(config, plan, cores=cores, quiet=quiet, more=more, **how)
    if status or how.get("dry_run") or more:
        return status
    if until == "dynamics":
        print("\n".join(f"Dynamics: {Path(file).resolve()}" for file in plan.every("dynamics_tables")))
        return 0
    if plan.compares:
        show(Path(plan.out))
    if until == "report":
        print(f"Report: {Path(plan.out, 'report.html' if plan.compares else 'theory.html').resolve()}")
    return 0


# -- files are read before a study runs ------------------------------------------------------------------


@app.command()
def check(config: Study, cores: Cores = None, as_json: AsJson = False, plugin: Plugins = None) -> None:
    """Read the files of a study and say what is odd.

    Nothing is fitted or written. Says what was read, what looks misread, and how long a run will take.
    """
    from cortseq import checking, sessions, study
    from cortseq.stages import estimate

    _load(plugin)
    _is_study(config)
    plan = study.read(config)
    faults: list[str] = []
    found = []
    for name, source in plan.datasets.items():
        try:
            with about(config, f"datasets.{name}"):
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
        if not as_json:
            print("\n".join(checking.lines(facts)))
    faults += sessions.unlike(plan, found)
    fits = sum(len(plan.variants(s.track, name)) for name, s in plan.datasets.items())
    fits *= plan.folds * bool(plan.models)
    sizes = {facts["dataset"]: checking.size(facts) for facts in found}
    cost = {} if faults else estimate.of_study(plan, sizes, cores or estimate.usable())
    if as_json:
        said = {"study": str(config), "fits": fits, "datasets": found, "faults": faults}
        print(json.dumps({**said, "estimate": cost or None}, indent=1))
    if faults:
        raise CortseqError("\n".join(faults))
    work = [f"{len(plan.datasets)} recording(s), {fits} fits of up to {plan.members} members"]
    work += [f"{len(plan.theory)} phenomena"] * bool(plan.theory)
    if not as_json:
        print("\n".join(estimate.lines(cost)))
        print(f"{config}: {', '.join(work)}: fine; next: cortseq run {shlex.quote(str(config))}")


@app.command()
def inspect(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="recordings")],
    plugin: Plugins = None,
) -> None:
    """Say what a recording file holds."""
    from cortseq import inspecting

    _load(plugin)
    for file in files:
        print("\n".join([*([f"== {file}"] if len(files) > 1 else []), *inspecting.inspect(file)]))


@app.command(epilog="Example: cortseq new spikes.csv trials.csv -o my_study.yaml")
def new(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="a recording: file, folder or http address; a table of trials follows its spikes",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="STUDY.yaml", help="default: named after the first file"),
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Write a commented study for recording files."""
    from cortseq import entries, outline, proposing, study

    _load(plugin)
    out = out or Path(f"{entries.slug(entries.stem(Path(files[0]).name)) or 'study'}.yaml")
    if out.exists():
        raise CortseqError(
            "is there already and is not overwritten", file=out, key="-o", fix="name another file"
        )
    out.write_text(outline.study(files, out), encoding="utf-8")
    for file in map(Path, files):
        if file.is_file() and (folder := proposing.whole(file)):
            print(f"note: {file} belongs to a folder that is read as a whole: {folder}", file=sys.stderr)
    said = f"{len(study.read(out).datasets)} dataset(s); next: cortseq check {shlex.quote(str(out))}"
    print(f"{out}: {said}")


@app.command()
def schema(plugin: Plugins = None) -> None:
    """Print the JSON schema of a study file."""
    from cortseq import study

    _load(plugin)
    print(json.dumps(study.schema(), indent=1))


# -- what a study made is read ---------------------------------------------------------------------------


@app.command()
def show(
    results: Annotated[Path, typer.Argument(help="folder of a finished study")],
    every: Annotated[bool, typer.Option("--all", help="every score, in lines as long as they are")] = False,
) -> None:
    """Print the comparison table of a finished study, 100 columns wide at most."""
    from cortseq import store
    from cortseq.scoring import printed

    file = results if results.suffix == ".csv" else results / "comparison.csv"
    checks = results / "theory.csv"
    if checks.is_file():
        print(printed.checks(store.read_table(checks)))
        if not file.is_file():
            return
    if not file.is_file():
        raise CortseqError("no finished study here", file=file, fix="run the study first: cortseq run")
    pooled = file.with_name("sessions.csv")
    said = printed.text if every else printed.short
    print(said(store.read_table(file), store.read_table(pooled) if pooled.is_file() else None))


@app.command()
def diff(
    first: Annotated[Path, typer.Argument(metavar="RESULTS_A")],
    second: Annotated[Path, typer.Argument(metavar="RESULTS_B")],
) -> None:
    """Say what differs between two results.

    Settings, data, code, choices, scores.
    """
    from cortseq import differing

    found = differing.lines(first, second)
    print("\n".join(found) if found else "nothing differs in the fits, the choices and the scores")
    _end(int(bool(found)))


@app.command()
def score(
    fit: Annotated[Path, typer.Argument(metavar="FIT", help="a .safetensors file, its card .json beside it")],
    config: Study,
    dataset: Annotated[str, typer.Option(help="one of the study's; default: all")] = "",
    as_json: AsJson = False,
    plugin: Plugins = None,
) -> None:
    """Score a fit on recordings it never saw.

    They are the datasets of a study.
    """
    from cortseq import checking, models, study
    from cortseq.scoring import stranger

    _load(plugin)
    plan, loaded, found = study.read(config), models.load(fit), {}
    for name in [dataset] if dataset else list(plan.datasets):
        if name not in plan.datasets:
            raise CortseqError("no such dataset", file=config, key="--dataset", value=name)
        with about(config, f"datasets.{name}"):
            recording, manifest = checking.recording(plan, name)
            found[name] = stranger.score(loaded, recording, manifest["folds"][0], plan.seed)
        if not as_json:
            print("\n".join(f"{name}: {line}" for line in found[name].lines()))
    if as_json:
        print(json.dumps({name: one.card() for name, one in found.items()}, indent=1))


if __name__ == "__main__":
    sys.exit(main())
