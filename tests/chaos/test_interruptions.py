"""A study through interruptions and odd machines: it ends with the bytes of an undisturbed run, or with a line.

Every test runs the whole study that a user would run, with `cortseq run`, in a folder of its own.
"""

import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
STUDY = {
    "study": "tiny",
    "members": 2,
    "horizons": [1, 2],
    "datasets": {
        "real": {
            **{"source": "npz", "path": "größe.npz", "counts": "c", "axes": ["trial", "time", "unit"]},
            **{"native_bin_ms": 10, "covariates": {"side": "side"}, "what": "Übung, ıİ", "licence": "©"},
        }
    },
    "models": {
        "psth": {"family": "psth"},
        "markov": {"family": "markov", "states": 4},
        "rate": {"family": "rate", "hidden": 4, "epochs": 2},
    },
}
KILLS = 20
# What says when, on which machine and in which seconds something was made.
OWN = ("report.html", "timing.csv", "logs", "made", "checkpoints")


def project(folder: Path, **more) -> Path:
    """A folder with the study and its recording."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    side = np.array(["links", "größer"])[np.arange(30) % 2]
    np.savez(folder / "größe.npz", c=rng.poisson(1 + (np.arange(4) % 2), (30, 12, 4)), side=side)
    text = yaml.safe_dump({**STUDY, **more}, allow_unicode=True, sort_keys=False)
    (folder / "study.yaml").write_text(text, encoding="utf-8")
    return folder


def command(*words: str, cores: int = 2) -> list[str]:
    return [sys.executable, "-m", "cortseq", "run", "study.yaml", "--cores", str(cores), *words]


def start(folder: Path, *words: str, cores: int = 2, env: dict | None = None, **how) -> subprocess.Popen:
    """Begin to run the study in a process group of its own, which Ctrl-C reaches.

    A shell that began these tests in the background lets them ignore Ctrl-C, and so would all that they begin.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    given = {k: v for k, v in {**os.environ, **(env or {})}.items() if v is not None}
    given.pop("CORTSEQ_MIRRORS", None)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8", "errors": "replace"}
    asked = command(*words, cores=cores)
    return subprocess.Popen(asked, cwd=folder, start_new_session=True, env=given, **pipes, **how)


def run(folder: Path, *words: str, **how) -> tuple[int, str]:
    """Run the study; return the exit status and what was said."""
    process = start(folder, *words, **how)
    said = process.communicate()[0]
    return process.returncode, said


def products(folder: Path) -> dict[str, str]:
    """Return the digest of every product whose bytes depend on the study only, by its path."""
    out, found = folder / "results/tiny", {}
    for file in sorted(p for p in out.rglob("*") if p.is_file()):
        name = file.relative_to(out)
        is_card = name.parts[0] == "fits" and name.suffix == ".json"
        if name.parts[0] not in OWN and not is_card:
            found[str(name)] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def differing(one: dict[str, str], other: dict[str, str]) -> list[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def leftovers(folder: Path) -> list[str]:
    """Return temporary files of writers, and second names of steps."""
    found = [p for p in (folder / "results").rglob(".*")]
    return [str(p) for p in [*found, *(folder / "results").rglob("*.kept")]]


def begun(folder: Path, process: subprocess.Popen) -> None:
    """Wait until a run has begun its first fit."""
    while not list((folder / "results/tiny/logs/fit").rglob("*.log")):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A project whose study was run without disturbance, and its products."""
    folder = project(tmp_path_factory.mktemp("undisturbed") / "project")
    status, said = run(folder)
    assert status == 0, said
    found = products(folder)
    assert len(found) > 60 and "comparison.csv" in found
    return folder, found


# -- ended from outside ----------------------------------------------------------------------------------------


def test_twenty_kills_at_random_moments_change_no_byte(undisturbed, tmp_path):
    """After each the same command goes on; a study that is done begins anew until all kills are used."""
    draw, kills, rounds = random.Random(0), 0, 0
    while kills < KILLS:
        rounds += 1
        folder = project(tmp_path / str(rounds))
        done = False
        while not done:
            process = start(folder)
            try:
                said = process.communicate(timeout=draw.uniform(2, 30) if kills < KILLS else None)[0]
                assert process.returncode == 0, said
                done = True
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                kills += 1
        assert differing(products(folder), undisturbed[1]) == []
        assert leftovers(folder) == []
    print(f"{kills} kills in {rounds} runs")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_run_that_is_asked_to_end_goes_on_later(undisturbed, tmp_path, number):
    """SIGTERM goes to the command alone, Ctrl-C to all processes of the terminal."""
    folder = project(tmp_path / "project")
    process = start(folder)
    begun(folder, process)
    (os.kill if number == signal.SIGTERM else os.killpg)(process.pid, number)
    said = process.communicate(timeout=120)[0]
    assert process.returncode != 0
    assert said.rstrip().splitlines()[-1].startswith("ended: what was made stays"), said
    assert "Traceback" not in said, said
    assert not list((folder / ".snakemake/locks").glob("*"))
    status, said = run(folder)
    assert status == 0, said
    assert differing(products(folder), undisturbed[1]) == []


def test_a_second_run_in_one_folder_is_refused_by_name(undisturbed, tmp_path):
    folder = project(tmp_path / "project")
    first = start(folder)
    begun(folder, first)
    status, said = run(folder)
    assert status == 2
    assert re.fullmatch(r".*: the study is being run here: process \d+ on .*: kill \d+\n", said), said
    plain = [sys.executable, "-m", "snakemake", "--cores", "1", "--configfile", "study.yaml"]
    plain += ["--snakefile", str(ROOT / "Snakefile")]
    answer = subprocess.run(plain, cwd=folder, capture_output=True, text=True)
    assert answer.returncode != 0
    assert "is locked by process" in answer.stderr.rstrip().splitlines()[-1], answer.stderr
    said = first.communicate()[0]
    assert first.returncode == 0, said
    assert differing(products(folder), undisturbed[1]) == []


# -- disks -----------------------------------------------------------------------------------------------------


def mounted(*words: str) -> None:
    """Mount something, or skip the test where this user may not."""
    done = subprocess.run(["mount", *words], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs mounts: {done.stderr.strip()}")


@pytest.fixture
def small_disk(tmp_path):
    """A disk of a few hundred kB, in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted("-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder))
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_a_line_and_the_run_goes_on_when_there_is_room(undisturbed, small_disk):
    """Logs and Snakemake's notes are on the full disk as well."""
    folder = project(small_disk / "project")
    status, said = run(folder)
    assert status != 0
    assert "the disk is full" in said and "make room" in said, said
    assert "Traceback" not in said, said
    mounted("-o", "remount,size=200m", str(small_disk))
    status, said = run(folder)
    assert status == 0, said
    assert differing(products(folder), undisturbed[1]) == []


def test_results_that_cannot_be_written_are_a_line(tmp_path):
    folder = project(tmp_path / "project")
    (folder / "results").mkdir()
    mounted("--bind", str(folder / "results"), str(folder / "results"))
    try:
        mounted("-o", "remount,bind,ro", str(folder / "results"))
        status, said = run(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder / "results"], check=True)
    assert status == 2
    (line,) = said.strip().splitlines()
    assert "results/tiny/logs/snakemake.log: cannot be written" in line


def test_a_project_that_is_moved_and_renamed_makes_nothing_again(undisturbed, tmp_path):
    moved = tmp_path / "deeper/another name é"
    moved.parent.mkdir()
    shutil.copytree(undisturbed[0], tmp_path / "copy", copy_function=shutil.copy2)  # dates as they were
    (tmp_path / "copy").rename(moved)
    status, said = run(moved, "--dry-run")
    assert status == 0 and "Nothing to be done" in said, said


# -- odd machines ----------------------------------------------------------------------------------------------


def locales(folder: Path, *names: str) -> dict[str, str]:
    """Make locales of these names in a folder, or skip the test where the system cannot."""
    if shutil.which("localedef") is None:
        pytest.skip("needs localedef")
    for name in names:
        language, _, charset = name.partition(".")
        made = subprocess.run(
            ["localedef", "-i", language, "-f", charset, folder / name], capture_output=True
        )
        if not (folder / name).is_dir():
            pytest.skip(f"needs the sources of locales: {made.stderr.decode()[:200]}")
    return {"LOCPATH": str(folder)}


def test_without_a_home_and_with_a_package_that_cannot_be_written(undisturbed, tmp_path):
    """Numba, matplotlib and Snakemake have no folder for what they keep."""
    package = tmp_path / "package"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src/cortseq", package / "src/cortseq", ignore=ignored)
    for name in ("Snakefile", "workflow", "profiles", "config"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, package / name)
    mounted("--bind", str(package), str(package))
    folder = project(tmp_path / "project")
    gone = {"HOME": "/proc/nobody", "XDG_CACHE_HOME": None, "PYTHONPATH": str(package / "src")}
    try:
        mounted("-o", "remount,bind,ro", str(package))
        status, said = run(folder, env=gone | {"MPLCONFIGDIR": None, "NUMBA_CACHE_DIR": None})
    finally:
        subprocess.run(["umount", "--lazy", package], check=True)
    assert status == 0, said
    assert differing(products(folder), undisturbed[1]) == []


def test_latin_1_another_time_zone_and_a_narrow_umask(undisturbed, tmp_path):
    env = locales(tmp_path, "de_DE.ISO-8859-1")
    env |= {"LC_ALL": "de_DE.ISO-8859-1", "PYTHONUTF8": "0", "TZ": "Pacific/Kiritimati"}
    folder = project(tmp_path / "project")
    status, said = run(folder, env=env, umask=0o027)
    assert status == 0, said
    assert differing(products(folder), undisturbed[1]) == []
    files = [p for p in (folder / "results").rglob("*") if p.is_file()]
    assert {oct(p.stat().st_mode & 0o777) for p in files} == {"0o640"}
    page = (folder / "results/tiny/report.html").read_text(encoding="utf-8")
    assert "Übung" in page and "größe.npz" in page


def test_a_turkish_locale_and_one_core(undisturbed, tmp_path):
    """There the small letter of I is another one, and a comma stands in numbers."""
    env = locales(tmp_path, "tr_TR.UTF-8") | {"LC_ALL": "tr_TR.UTF-8", "PYTHONUTF8": "0"}
    folder = project(tmp_path / "project")
    status, said = run(folder, env=env, cores=1)
    assert status == 0, said
    assert differing(products(folder), undisturbed[1]) == []


def test_a_job_for_every_step_gives_the_same_bytes(undisturbed, tmp_path):
    folder = project(tmp_path / "project", batch_minutes=0)
    status, said = run(folder, "--until", "comparison")
    assert status == 0, said
    made = products(folder)
    assert len(made) >= 15 and {name: undisturbed[1][name] for name in made} == made
