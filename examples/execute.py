"""Execute the notebooks of this folder where they lie: `python examples/execute.py [NAME...]`.

Outputs are kept; what differs from run to run (times of execution) is not.
"""

import sys
import tempfile
from pathlib import Path

import nbclient
import nbformat

FOLDER = Path(__file__).parent


def executed(file: Path, folder: Path) -> nbformat.NotebookNode:
    """Return the notebook after all its cells ran, with `folder` as the current one.

    Raises
    ------
    nbclient.exceptions.CellExecutionError : a cell failed.
    """
    notebook = nbformat.read(file, as_version=4)
    client = nbclient.NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )
    return client.execute()


if __name__ == "__main__":
    for notebook in sorted(FOLDER.glob("*.ipynb")):
        if not sys.argv[1:] or notebook.stem in sys.argv[1:]:
            with tempfile.TemporaryDirectory() as scratch:
                nbformat.write(executed(notebook, Path(scratch)), notebook)
            print(f"{notebook.name}: {notebook.stat().st_size / 1000:.0f} kB")
