"""`cortseq run` and `demo`: the command that is started, what is said of a failure, and the wheel by itself."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from layouts import LAYOUTS

from cortseq import cli, running, study
from cortseq.errors import CortseqError
from cortseq.stages import Plan

ROOT = Path(__file__).parents[1]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def planned(file):
    return Plan(study.read(file), None)


@pytest.fixture
def demo(here):
    (here / "demo.yaml").write_text(running.DEMO)
    return here / "demo.yaml"


def test_the_workflow_of_a_clone_is_found():
    assert running.project() == ROOT
    assert running.default_study().is_file()


def test_the_demo_is_a_valid_study(demo):
    assert study.read(demo).study == "demo"


@pytest.mark.parametrize(
    ("how", "there", "missing"),
    [
        ({"cores": 3}, ["--cores", "3"], "--dry-run"),
        ({"cores": 1, "dry_run": True}, ["--dry-run"], "--profile"),
        ({"cores": None, "profile": "slurm"}, ["--profile", str(ROOT / "profiles/slurm")], "--cores"),
        ({"cores": 1, "profile": "my/own"}, ["--profile", "my/own", "--cores", "1"], "--dry-run"),
        ({"cores": 1, "more": ["a.svg"]}, [str(ROOT / "Snakefile"), "a.svg"], "--dry-run"),
        ({"cores": 1, "quiet": True}, ["--quiet", "all"], "rules"),
        ({"cores": 1, "until": "comparison"}, ["results/demo/comparison.csv"], "--until"),
        ({"cores": 1, "until": "dynamics"}, ["results/demo/dynamics/ring/rate/fold0.csv"], "comparison"),
        ({"cores": 1, "more": ["--unlock"]}, ["--unlock"], "--dry-run"),
    ],
)
def test_the_command_says_what_was_asked(demo, how, there, missing):
    words = running.command(demo, planned(demo), **how)
    assert words[1:3] == ["-m", "snakemake"]
    at = [words.index(word) for word in there]
    assert at == list(range(at[0], at[0] + len(there)))
    assert missing not in words


def test_a_profile_whose_plugin_is_missing_says_what_to_install(demo, monkeypatch, tmp_path):
    monkeypatch.setattr(running.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CortseqError, match="pip install snakemake-executor-plugin-slurm") as error:
        running.command(demo, planned(demo), cores=None, profile="slurm")
    assert f"{ROOT / 'profiles/slurm/profile.yaml'}" in str(error.value)
    own = tmp_path / "own"
    own.mkdir()
    (own / "profile.yaml").write_text("executor: kubernetes\n")
    with pytest.raises(CortseqError, match="pip install snakemake-executor-plugin-kubernetes"):
        running.command(demo, planned(demo), cores=None, profile=str(own))
    (own / "profile.yaml").write_text("jobs: 3\n")
    assert "--profile" in running.command(demo, planned(demo), cores=None, profile=str(own))


def test_a_study_without_comparison_says_so(here):
    file = here / "theory.yaml"
    file.write_text(yaml.safe_dump({"study": "t", "theory": {"euler": {}}}))
    with pytest.raises(CortseqError, match="this study has no comparison"):
        running.command(file, planned(file), cores=1, until="comparison")


def test_a_study_that_is_not_there_is_said_in_a_line(here, capsys):
    assert cli.main(["run", "nothing.yaml"]) == 2
    assert "no such study" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["run", "check"])
def test_a_recording_in_place_of_a_study_is_said(here, capsys, word):
    (here / "my spikes.npy").write_bytes(b"\x93NUMPY")
    assert cli.main([word, "my spikes.npy"]) == 2
    assert "is a recording, not a study -- `cortseq new 'my spikes.npy'` writes" in capsys.readouterr().err


def test_check_ends_with_what_to_type_next(here, capsys):
    (here / "my study.yaml").write_text(running.DEMO)
    assert cli.main(["check", "my study.yaml"]) == 0
    assert capsys.readouterr().out.endswith("fine; next: cortseq run 'my study.yaml'\n")


def test_demo_leaves_a_changed_study_as_it_is(here, monkeypatch):
    ran = []
    monkeypatch.setattr(running, "run", lambda config, plan, **how: ran.append((config, how)) or 1)
    changed = running.DEMO.replace("members: 3", "members: 1")
    (here / "demo.yaml").write_text(changed)
    assert cli.main(["demo", "--cores", "2"]) == 1
    assert (here / "demo.yaml").read_text() == changed
    assert ran[0][0] == Path("demo.yaml") and ran[0][1]["cores"] == 2


@pytest.mark.parametrize(
    "words",
    [
        ["run", "demo.yaml", "--cores", "3", "--until", "comparison", "-n"],
        ["run", "--cores", "3", "-n", "--until", "comparison", "demo.yaml"],
    ],
)
def test_options_may_stand_before_or_behind_the_study(demo, monkeypatch, words):
    ran = []
    monkeypatch.setattr(running, "run", lambda config, plan, **how: ran.append((config, how)) or 0)
    assert cli.main(words) == 0
    assert ran[0][0] == Path("demo.yaml")
    expected = {"cores": 3, "until": "comparison", "dry_run": True, "more": [], "profile": "", "quiet": False}
    assert ran[0][1] == expected


def test_only_what_runs_a_study_hands_arguments_on(demo, capsys):
    assert cli.main(["check", "demo.yaml", "--", "--unlock"]) == 2
    assert "after --" in capsys.readouterr().err


def test_what_follows_two_hyphens_goes_to_snakemake(demo, monkeypatch):
    ran = []
    monkeypatch.setattr(running, "run", lambda config, plan, **how: ran.append(how) or 0)
    assert cli.main(["run", "demo.yaml", "--", "--unlock", "--verbose"]) == 0
    assert ran[0]["more"] == ["--unlock", "--verbose"]


def test_dynamics_alone_end_with_their_tables(demo, monkeypatch, capsys):
    """There is no comparison to show then."""
    monkeypatch.setattr(running, "run", lambda config, plan, **how: 0)
    assert cli.main(["run", "demo.yaml", "--until", "dynamics"]) == 0
    assert (
        capsys.readouterr().out
        == f"Dynamics: {Path('results/demo/dynamics/ring/rate/fold0.csv').resolve()}\n"
    )


def test_a_failure_names_its_reason_and_its_log(here):
    logs = here / "results/demo/logs/batches"
    logs.mkdir(parents=True)
    begin = time.time() - 1
    (logs / "fits.log").write_text("   0.1 s  read\n   2.0 s  error: ring: lower learning_rate\n")
    (logs / "fine.log").write_text("   0.1 s  done\n")
    old = logs / "old.log"
    old.write_text("   0.1 s  error: of last week\n")
    os.utime(old, (begin - 100, begin - 100))
    found = running.reasons(here / "results/demo", begin)
    assert found == [f"failed: ring: lower learning_rate  (log: {logs / 'fits.log'})"]


def test_a_run_that_meets_a_full_disk_says_so(demo, monkeypatch, capsys):
    """Where no log could be written, Snakemake's own words are what is known."""
    says = "print('WorkflowError: cannot record ([Errno 28] No space left on device)'); exit(1)"
    monkeypatch.setattr(running, "command", lambda *_, **__: [sys.executable, "-c", says])
    assert running.run(demo, planned(demo), cores=1) == 1
    assert "the disk is full -- make room" in capsys.readouterr().err


def test_what_is_said_is_kept_where_the_log_cannot_be_written(demo, monkeypatch, capsys):
    says = "print('error: x.csv: the disk is full'); exit(1)"
    monkeypatch.setattr(running, "command", lambda *_, **__: [sys.executable, "-c", says])
    monkeypatch.setattr(running, "_written", lambda file: open("/dev/full", "wb", buffering=0))
    assert running.run(demo, planned(demo), cores=1) == 1
    assert "failed: x.csv: the disk is full" in capsys.readouterr().err


def test_a_run_that_fails_before_any_job_ends_with_what_was_said(demo, monkeypatch, capsys):
    says = "import sys; print('Building'); sys.stderr.write('no such rule\\n'); exit(3)"
    monkeypatch.setattr(running, "command", lambda *_, **__: [sys.executable, "-c", says])
    assert running.run(demo, planned(demo), cores=1) == 3
    said = capsys.readouterr().err
    assert "no such rule" in said and "results/demo/logs/snakemake.log" in said


def test_a_run_goes_on_where_its_terminal_is_gone(demo, monkeypatch):
    def gone(*_):
        raise BrokenPipeError

    says = "import time; time.sleep(1); open('done', 'w').write('whole')"
    monkeypatch.setattr(running, "command", lambda *_, **__: [sys.executable, "-c", says])
    monkeypatch.setattr(running.watching, "follow", gone)
    assert running.run(demo, planned(demo), cores=1) == 0 and Path("done").read_text() == "whole"


def test_a_folder_that_cannot_be_written_to_is_a_line(demo, capsys):
    Path("results").write_text("a file where a folder should be")
    assert cli.main(["run", "demo.yaml", "--cores", "1"]) == 2
    said = capsys.readouterr().err
    assert "results/demo/logs/snakemake.log" in said and "cannot be written" in said


def test_ctrl_c_waits_until_the_run_has_cleaned_up(tmp_path):
    """The signal goes to all of the terminal's processes: the child takes a second over its last words."""
    child = (
        "import signal, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # background jobs of a shell ignore it
        "try:\n time.sleep(60)\nexcept KeyboardInterrupt:\n time.sleep(1); open('done', 'w'); exit(3)"
    )
    parent = (
        "import subprocess, sys\nfrom cortseq import running\n"
        f"process = subprocess.Popen([sys.executable, '-c', {child!r}])\n"
        "with running._patient(process):\n"
        " print('begun', flush=True)\n"
        " while not running._ended(process, 0.1): pass\n"
        "sys.exit(process.returncode)"
    )
    ran = subprocess.Popen(
        [sys.executable, "-c", parent], cwd=tmp_path, stdout=subprocess.PIPE, start_new_session=True
    )
    with ran:
        assert ran.stdout.readline() == b"begun\n"
        time.sleep(1)
        os.killpg(ran.pid, signal.SIGINT)
        assert ran.wait(30) == 3
    assert (tmp_path / "done").exists()


# -- the wheel by itself ----------------------------------------------------------------------------------

TINY = """\
study: tiny
members: 2
horizons: []
datasets:
  ring: {source: synthetic, kind: ring, trials: 30, units: 4, bins: 12}
models:
  markov: {family: markov, states: 4}
  rate: {family: rate, hidden: 4, epochs: 2}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the package as it is installed from a wheel that was built here."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", ROOT, "--no-deps", "--no-build-isolation", "--wheel-dir", folder]
    subprocess.run(build, check=True, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True)
    return folder / "site"


def of_wheel(site, folder, *words, **variables):
    """Run a command of the installed package in a folder without the clone's help."""
    folder.mkdir(exist_ok=True)
    known = {**os.environ, "PYTHONPATH": str(site), **variables}
    known.pop("CORTSEQ_MIRRORS", None)
    command = [sys.executable, "-m", "cortseq", *words]
    return subprocess.run(command, env=known, cwd=folder, capture_output=True, encoding="utf-8")


@pytest.mark.slow
def test_the_wheel_holds_the_workflow(site, tmp_path):
    files = ("Snakefile", "workflow/Snakefile", "workflow/rules/common.smk", "profiles/slurm/profile.yaml")
    for name in (*files, "workflow/report/report.html.jinja", "config/config.yaml", "config/schema.json"):
        assert (site / "cortseq/_project" / name).is_file()
    where = [sys.executable, "-c", "import cortseq; print(cortseq.__file__)"]
    known = {**os.environ, "PYTHONPATH": str(site)}
    said = subprocess.run(where, env=known, cwd=tmp_path, capture_output=True, text=True).stdout
    assert said.startswith(str(site))


@pytest.mark.slow
def test_the_wheel_alone_runs_the_demo(site, tmp_path):
    """In a path with blanks and letters that are not ASCII."""
    folder = tmp_path / "mein Ordner é"
    ran = of_wheel(site, folder, "demo", "--cores", "2")
    assert ran.returncode == 0, ran.stderr[-2000:]
    report = folder / "results/demo/report.html"
    assert ran.stdout.rstrip().endswith(f"Report: {report}") and report.is_file()
    assert "bits/spike" in ran.stdout


@pytest.mark.slow
def test_the_wheel_alone_begins_a_study_of_a_file(site, tmp_path):
    pytest.importorskip("pynwb")
    folder = tmp_path / "neu é"
    folder.mkdir()
    LAYOUTS["nwb"].make(folder)
    (file,) = folder.glob("*.nwb")
    made = of_wheel(site, folder, "new", file.name, "-o", "my study.yaml")
    assert made.returncode == 0, made.stderr
    checked = of_wheel(site, folder, "check", "my study.yaml")
    assert checked.returncode == 0 and "40 trials" in checked.stdout, checked.stderr
    planned = of_wheel(site, folder, "run", "my study.yaml", "--dry-run", "--cores", "1")
    assert planned.returncode == 0 and "report" in planned.stdout + planned.stderr


@pytest.mark.slow
def test_the_wheel_alone_runs_where_nothing_can_be_cached(site, tmp_path):
    """The package cannot be written to, there is no home, and the locale knows ASCII only."""
    locked = tmp_path / "site"
    shutil.copytree(site, locked, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in [locked, *(path for path in locked.rglob("*") if path.is_dir())]:
        (folder / "__pycache__").write_text("a file where a folder should be, which stops root as well")
    folder = tmp_path / "ohne é"
    folder.mkdir()
    (folder / "tiny.yaml").write_text(TINY)
    bare = {"HOME": os.devnull + "/none", "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ran = of_wheel(locked, folder, "run", "tiny.yaml", "--cores", "2", **bare, XDG_CACHE_HOME="")
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert (folder / "results/tiny/report.html").is_file()
    assert list((folder / ".snakemake/cache/numba").rglob("*.nbi"))
