"""The fingerprint follows code and not words about it."""

import pytest

from cortseq.fingerprint import _read, fingerprint


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
