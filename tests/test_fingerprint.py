"""The fingerprint follows code and not words about it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cortseq
from cortseq import study
from cortseq.fingerprint import LIBRARIES, _read, canonical, fingerprint, version

RATE = "cortseq.networks.families.rate"


@pytest.fixture
def script(tmp_path):
    file = tmp_path / "script.py"

    def write(text):
        file.write_text(text)
        _read.cache_clear()
        return fingerprint(file)

    yield write
    _read.cache_clear()


def test_comments_and_docstrings_do_not_count(script):
    plain = script("def f(x):\n    return x + 1\n")
    assert script('"""Doc."""\n\n# why\ndef f(x):\n    """Doc."""\n    return x + 1  # plus\n') == plain


def test_code_counts(script):
    assert script("def f(x):\n    return x + 1\n") != script("def f(x):\n    return x + 2\n")


def test_imports_are_followed(script):
    assert script("from cortseq.networks.families.rate import Rate\n") != script(
        "from cortseq.networks.families.lstm import Lstm\n"
    )


def test_families_do_not_depend_on_each_other():
    from cortseq import fingerprint as module

    def reached(root):
        seen, waiting = set(), [root]
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting += module._read(name)[1]
        return seen

    assert "cortseq.networks.families.lstm" not in reached("cortseq.networks.families.rate")
    assert "cortseq.networks.training.gradient" in reached("cortseq.networks.families.rate")
    assert "cortseq.dynamics.fixed_points" not in reached("cortseq.networks.families.rate")


def test_families_taken_by_class_name_count(script):
    by_name = script("from cortseq import models\nmodels.Rate()\n")
    assert by_name != script("from cortseq import models\nmodels.Lstm()\n")
    assert RATE in _read_of("from cortseq import models\nmodels.Rate()\n", script)


def _read_of(text, script) -> tuple[str, ...]:
    """Modules that a script with this text imports."""
    import inspect

    script(text)
    return _read(str(inspect.getclosurevars(script).nonlocals["file"]))[1]


COPY = "import sys; from cortseq.fingerprint import fingerprint; print(fingerprint(*sys.argv[1:]))"


def _digest(package: Path, script: Path) -> str:
    """Digest in a fresh process that imports the package from this folder."""
    command = [sys.executable, "-c", COPY, str(script), RATE]
    answer = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(package)})
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


def test_the_folder_does_not_count(tmp_path):
    """A project that is copied or renamed has the same digest; the copy's own code is the one that counts."""
    here = Path(cortseq.__file__).parents[1]
    scripts = [tmp_path / "a" / "fit.py", tmp_path / "b" / "fit.py"]
    for script in scripts:
        script.parent.mkdir()
        script.write_text("from cortseq import models\n")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(here / "cortseq", tmp_path / "b" / "cortseq", ignore=ignored)
    assert _digest(here, scripts[0]) == _digest(tmp_path / "b", scripts[1])
    with (tmp_path / "b/cortseq/networks/families/rate.py").open("a") as file:
        file.write("\n_NEW = 1\n")
    assert _digest(here, scripts[0]) != _digest(tmp_path / "b", scripts[1])


def test_the_order_of_roots_and_of_keys_does_not_count():
    other = "cortseq.networks.families.lstm"
    assert fingerprint(RATE, other) == fingerprint(other, RATE)
    one = {"a": 1, "b": {"c": [1, {"d": 2, "e": 3}], "f": 4}}
    same = {"b": {"f": 4, "c": [1, {"e": 3, "d": 2}]}, "a": 1}
    assert str(canonical(one)) == str(canonical(same)) and canonical(one) == one
    ring = {"source": "synthetic", "kind": "ring", "trials": 9}
    rate = {"family": "rate", "hidden": 3, "epochs": 2}
    entries = [
        {"datasets": {"d": e}, "models": {"m": m}} for e, m in ((ring, rate), map(_turned, (ring, rate)))
    ]
    found = []
    for entry in entries:
        read = study.validate(entry)
        model = read.variants("counts")["m"].model
        found.append((str(read.datasets["d"].model_dump(mode="json")), str(model.model_dump(mode="json"))))
    assert found[0] == found[1]


def _turned(entry: dict) -> dict:
    return dict(reversed(entry.items()))


@pytest.mark.parametrize("library", LIBRARIES)
def test_versions_of_libraries_count(library, monkeypatch):
    from cortseq import fingerprint as module

    before = fingerprint(RATE)
    monkeypatch.setattr(module, "version", lambda name: version(name) + ("x" if name == library else ""))
    assert fingerprint(RATE) != before
