"""Files that a user placed stay as they are, and downloads are whole or not there."""

import http.server
import os
import shutil
import subprocess
import sys
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import yaml
from layouts import running

from cortseq import download, fetch, store, study
from cortseq.errors import CortseqError
from cortseq.sources.text import SOURCE as Text

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
NAME = "my {rec} <1>.npz"  # braces are wildcards and angle brackets path variables to Snakemake


# -- the workflow ------------------------------------------------------------------------------------


def snakemake(folder: Path, *arguments: str, mirror: str = "", datasets: str = "d") -> str:
    targets = [f"results/kept/recordings/{name}.zarr.zip" for name in datasets]
    command = [BIN / "snakemake", *targets, "--cores", "1", *arguments, "--configfile", "study.yaml"]
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "CORTSEQ_MIRRORS": mirror}
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    assert answer.returncode == 0, answer.stderr[-2000:]
    return answer.stdout + answer.stderr


def write(file: Path, seed: int) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, c=np.random.default_rng(seed).poisson(1.0, (12, 10, 2)))
    return store.sha256(file)


@pytest.fixture
def project(tmp_path):
    for name in ("Snakefile", "workflow", "profiles"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / name)

    def entry(**more):
        dataset = {"source": "npz", "path": NAME, "counts": "c", "axes": ["trial", "time", "unit"]}
        content = {"study": "kept", "datasets": {"d": {**dataset, "native_bin_ms": 10, **more}}, "models": {}}
        content["theory"] = {"euler": {"units": 6}}
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))

    entry()
    return tmp_path, entry


def test_no_flag_of_snakemake_touches_a_file_that_a_user_placed(project):
    """A file where the study says, and one in data/raw."""
    folder, _ = project
    content = yaml.safe_load((folder / "study.yaml").read_text())
    content["datasets"]["e"] = {**content["datasets"]["d"], "path": f"other {NAME}"}
    (folder / "study.yaml").write_text(yaml.safe_dump(content))
    files = [folder / NAME, folder / "data/raw" / f"other {NAME}"]
    digests = [write(file, seed) for seed, file in enumerate(files)]
    snakemake(folder, datasets="de")
    assert "Nothing to be done" in snakemake(folder, datasets="de")
    snakemake(folder, "-F", datasets="de")
    snakemake(folder, "--delete-all-output", datasets="de")
    assert [store.sha256(file) for file in files] == digests
    assert not list((folder / "results/kept/recordings").glob("*.zarr.zip"))


def test_a_file_replaced_by_an_older_one_is_read_again(project):
    folder, _ = project
    write(folder / NAME, 0)
    snakemake(folder)
    digest = write(folder / NAME, 1)
    os.utime(folder / NAME, (1e9, 1e9))
    assert "Params have changed" in snakemake(folder)
    assert digest in store.read(folder / "results/kept/recordings/d.zarr.zip").attrs["provenance"]
    os.utime(folder / NAME)  # a new date alone means nothing
    assert "Nothing to be done" in snakemake(folder)


def test_a_sha256_that_is_added_while_the_mirror_is_away_finds_the_copy(project):
    folder, entry = project
    digest = write(folder / "mirror/deep" / NAME, 0)
    snakemake(folder, mirror="mirror")
    shutil.move(folder / "mirror", folder / "away")
    assert "Nothing to be done" in snakemake(folder)
    entry(sha256=digest)
    snakemake(folder)
    assert store.sha256(folder / "away/deep" / NAME) == digest
    assert all(store.sha256(file) == digest for file in (folder / "data/cache").rglob("*.npz"))


def test_two_copies_of_one_name_are_not_chosen_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CORTSEQ_MIRRORS", raising=False)
    source = Text(source="text", path="songs.txt")
    for folder, content in (("copy-0", "a b"), ("copy-1", "b a")):
        (tmp_path / "data/cache" / folder).mkdir(parents=True)
        (tmp_path / "data/cache" / folder / "songs.txt").write_text(content)
    with pytest.raises(CortseqError, match="2 copies of different content"):
        fetch.raw_path(source)
    (tmp_path / "data/cache/copy-0/songs.txt").unlink()
    assert fetch.raw_path(source) == Path("data/cache/copy-1/songs.txt")


# -- downloads ---------------------------------------------------------------------------------------


class Handler(http.server.BaseHTTPRequestHandler):
    """/whole, /short (ends early), /endless, /large, /away and /elsewhere (redirected to a file and to ftp)."""

    def do_GET(self):
        if self.path.startswith(("/away", "/elsewhere")):
            self.send_response(302)
            place = "file:///etc/hostname" if self.path.startswith("/away") else "ftp://x.org/a.txt"
            self.send_header("Location", place)
            self.end_headers()
            return
        self.send_response(200)
        if self.path.startswith(("/whole", "/short", "/large")):
            length = {"w": 6, "s": 100_000, "l": 10**12}[self.path[1]]
            self.send_header("Content-Length", str(length))
        self.end_headers()
        try:
            self.wfile.write(b"abcab\n" if self.path.startswith("/whole") else b"x" * 100)
            while self.path.startswith("/endless"):
                self.wfile.write(b"y" * 100_000)
        except OSError:
            pass

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CORTSEQ_MIRRORS", raising=False)
    with running(Handler) as address:
        yield address


def fetched(url: str, **more) -> Path:
    source = Text(source="text", url=url, **more)
    target = fetch.raw_path(source)
    fetch.fetch(source, target, [])
    return target


def test_a_whole_file_is_kept(server):
    target = fetched(f"{server}/whole.txt")
    assert target.read_text() == "abcab\n" and target.parent.parent == fetch.CACHE


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("short.txt", "ended after 100 of 100000 bytes"),
        ("endless.txt", "is larger than 3 MB"),
        ("large.txt", "is larger than 3 MB"),
        ("away.txt", "is not allowed"),
        ("elsewhere.txt", "another place than http or https"),
    ],
)
def test_what_is_not_whole_leaves_nothing(server, monkeypatch, path, words):
    monkeypatch.setenv(download.VARIABLE, "3")
    with pytest.raises(CortseqError, match=words) as error:
        fetched(f"{server}/{path}")
    assert "\n" not in str(error.value) and "url" in str(error.value)
    refused = error.value.__cause__
    assert not isinstance(refused, urllib.error.HTTPError) or refused.closed  # an open socket warns later
    assert not [file for file in Path("data").rglob("*") if file.is_file()]


def test_a_wrong_sha256_leaves_nothing(server):
    with pytest.raises(CortseqError, match="sha256"):
        fetched(f"{server}/whole.txt", sha256="0" * 64)
    assert not [file for file in Path("data").rglob("*") if file.is_file()]


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "data:text/plain,abc", "ftp://x.org/a.txt", "http:///a", "a.txt"]
)
def test_other_addresses_are_refused_in_the_study(url):
    with pytest.raises(CortseqError, match=r"datasets\.d: url: only http and https"):
        study.validate({"datasets": {"d": {"source": "text", "url": url}}})


# -- packages ----------------------------------------------------------------------------------------


def test_no_code_of_a_package_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "evil/sub").mkdir(parents=True)
    for folder in ("evil", "evil/sub"):
        (tmp_path / folder / "__init__.py").write_text("open('ran', 'w')")
    (tmp_path / "evil/a.txt").write_text("abc")
    entry = {"source": "text", "path": "a.txt", "package": "evil.sub"}
    with pytest.raises(CortseqError, match=r"datasets\.d\.package"):
        study.validate({"datasets": {"d": entry}})
    with pytest.raises(CortseqError, match="not installed"):
        fetch.find(Text(source="text", path="a.txt", package="evil"), [])
    assert not (tmp_path / "ran").exists()


def test_a_path_stays_inside_its_package():
    with pytest.raises(CortseqError, match="outside of package numpy"):
        fetch.find(Text(source="text", path="../pytest/__init__.py", package="numpy"), [])
