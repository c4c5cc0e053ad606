"""The notebooks of `examples/` run from their first cell to their last, and are kept as they ran."""

import runpy
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parents[1] / "examples"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def cells(file: Path) -> list:
    return [cell for cell in nbformat.read(file, as_version=4).cells if cell.cell_type == "code"]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_is_kept_with_its_outputs(file):
    counts = [cell.execution_count for cell in cells(file)]
    assert counts == list(range(1, len(counts) + 1))
    kinds = {key for cell in cells(file) for output in cell.outputs for key in output.get("data", {})}
    assert {"image/png", "text/html"} <= kinds
    assert file.stat().st_size < 300_000
    text = file.read_text(encoding="utf-8")
    assert "Traceback" not in text and "/tmp" not in text and "/home" not in text


@pytest.mark.slow
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_runs(file, tmp_path):
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    ran = runpy.run_path(str(FOLDER / "execute.py"))["executed"](file, tmp_path)
    for cell, kept in zip((c for c in ran.cells if c.cell_type == "code"), cells(file), strict=True):
        said, before = (
            "".join(o.get("text", "") for o in c.outputs if o.get("name") == "stdout") for c in (cell, kept)
        )
        assert said.count("\n") == before.count("\n")
