"""Pages of the site that lie elsewhere or are made from the classes: a hook of mkdocs, see mkdocs.yml."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import gallery
import notebooks
from mkdocs.structure.files import File, Files

from cortseq import figures, models, sources, study
from cortseq.products import Facts
from cortseq.scoring import rows

ROOT = Path(__file__).parents[1]
# Files outside docs/ -> their page; links to others lead to the file's name, as text.
ELSEWHERE = {
    "README.md": "index.md",
    "config/README.md": "config.md",
    "data/README.md": "data.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
EXAMPLES = sorted((ROOT / "examples").glob("*.ipynb"))
FOLDERS = {"examples": "examples/from_a_file.md"}  # a folder that is linked to -> its first page
_LINK = re.compile(r"\]\(([^)#:]+)(#[^)]*)?\)")
_API = ("read", "compare", "open", "fit_together", "plot")
_API_MODULES = (
    "recording",
    "models.base",
    "models.fit",
    "models.saved",
    "models.estimator",
    "comparing",
    "networks.module",
    "export",
    "scoring",
    "dynamics",
    "flow",
    "theory",
)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made."""
    made: dict[str, str | bytes] = {
        page: (ROOT / file).read_text(encoding="utf-8") for file, page in ELSEWHERE.items()
    }
    made |= {
        "gallery.md": gallery.page(),
        "reference/families.md": _classes("Families of models", models.registry(), "family"),
        "reference/sources.md": _classes("Sources of recordings", sources.registry(), "source"),
        "reference/study.md": "# Keys of a study\n\n" + _fields(study.Study, ()),
        "reference/columns.md": _columns(),
        "reference/figures.md": _figures(),
        "reference/api.md": _api(),
    }
    for file in EXAMPLES:
        made[_example(file)], pictures = notebooks.page(file)
        made |= {f"examples/{name}": content for name, content in pictures.items()}
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    return files


def _example(notebook: Path) -> str:
    """Return the page of a notebook."""
    return f"examples/{notebook.stem}.md"


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Let links to files of the project lead to their pages."""
    origin = {page: file for file, page in ELSEWHERE.items()}.get(page.file.src_uri)
    here = (ROOT / origin if origin else ROOT / "docs" / page.file.src_uri).parent

    def led(match: re.Match[str]) -> str:
        target = (here / match[1]).resolve()
        if not target.is_relative_to(ROOT):
            return match[0]
        name = target.relative_to(ROOT).as_posix()
        found = ELSEWHERE.get(name) or FOLDERS.get(name) or name.removeprefix("docs/")
        if files.get_file_from_path(found) is None:
            return f"] (`{name}`)"
        up = "../" * page.file.src_uri.count("/")
        return f"]({up}{found}{match[2] or ''})"

    return re.sub(r"\[([^\]]*)\] \(`", r"\1 (`", _LINK.sub(led, markdown))


def _classes(title: str, registry: dict[str, Any], key: str) -> str:
    """Return a page on classes: what each is, and its settings."""
    parts = [f"# {title}"]
    for name, one in sorted(registry.items()):
        said = inspect.cleandoc(one.__doc__ or "")
        parts += [f"## `{name}`", f"```text\n{said}\n```", _fields(one, (key,))]
    return "\n\n".join(parts)


def _fields(one: Any, without: tuple[str, ...]) -> str:
    """Return a table of settings: key, default, what it is."""
    lines = ["| key | default | |", "|---|---|---|"]
    for name, field in one.model_fields.items():
        if name not in without:
            default = (
                "required" if field.is_required() else f"`{field.get_default(call_default_factory=True)!r}`"
            )
            said = (field.description or "").replace("|", "\\|").replace("\n", " ")
            lines.append(f"| `{name}` | {default if len(default) < 80 else '(see the study)'} | {said} |")
    return "\n".join(lines)


def _columns() -> str:
    table = [f"| `{name}` | {said} |".replace("\n", " ") for name, said in rows.COLUMNS.items()]
    return "\n".join(["# Columns of comparison.csv\n", "| column | |", "|---|---|", *table])


def _figures() -> str:
    """Return a page on figures: title, and what each shows of a recording of counts."""
    facts = Facts(
        dataset="a recording", track="counts", tasks={"memory": ("a model",), "forecasts": ("a model",)}
    )
    parts = [
        "# Figures",
        "`figures:` of a study names them; files are `results/<study>/figures/<name>_<recording>`.",
    ]
    for name, figure in figures.registry().items():
        parts += [f"## `{name}`: {figure.title}", figure.text(facts)]
    return "\n\n".join(parts)


def _api() -> str:
    parts = ["# Python", *(f"::: cortseq.{name}" for name in _API)]
    return "\n\n".join([*parts, *(f"::: cortseq.{name}" for name in _API_MODULES)])
