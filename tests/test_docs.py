"""Pages, headings, files and keys that the code and the guides name are there."""

import importlib.util
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cortseq import figures, models, products, sources, stages, study
from cortseq.sources.trials import TrialTable

ROOT = Path(__file__).parents[1]
PAGES = {path.name: path.read_text() for path in (ROOT / "docs").glob("*.md")}


def anchor(heading):
    """The anchor that a Markdown renderer gives a heading: lower case, no punctuation, hyphens for blanks."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(page):
    return {anchor(heading) for heading in re.findall(r"^#+ (.+)$", PAGES[page], re.MULTILINE)}


def cited(text):
    return re.findall(r"docs/([\w-]+\.md)(?:#([\w-]+))?", text)


def test_headings_become_anchors():
    assert anchor("L0' and `G(k)`, the floors") == "l0-and-gk-the-floors"


def test_every_cited_heading_exists():
    places = [(path, *target) for path in (ROOT / "src").rglob("*.py") for target in cited(path.read_text())]
    assert any(heading for _, _, heading in places)
    for path, page, heading in places:
        assert page in PAGES, f"{path.name} cites docs/{page}"
        assert not heading or heading in anchors(page), f"{path.name} cites docs/{page}#{heading}"


def test_pages_link_to_pages_that_exist():
    for page in ("likelihood.md", "dynamics.md"):
        for target in re.findall(r"\]\(([\w./-]+\.md)\)", PAGES[page]):
            assert (ROOT / "docs" / target).is_file(), f"{page} links to {target}"


def test_no_design_note_outside_the_repository_is_cited():
    notes = re.compile(
        r"\b(LIKELIHOOD|DYNAMICS|ARCHITECTURE|REFERENCE|API|DATA|GPU|CHAPTER|PERFORMANCE|STYLE)\.md"
    )
    for path in (ROOT / "src").rglob("*.py"):
        assert not notes.search(path.read_text()), path.name


# -- what the pages name is there -------------------------------------------------------------------

GUIDES = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "config/README.md",
    *(f"docs/{page}" for page in PAGES),
]
# Made by a run, by a user or by `make`; or a name that stands for any file.
MADE = re.compile(
    r"(data/(raw|cache)|results|\.venv)/.*|(FILE|mycell|mine)\.py|STUDY\.yaml|my_study\.yaml|demo\.yaml"
)


def named_files(text):
    """Paths in code spans that end in a suffix of a source or are a folder."""
    words = (word.strip(",;()") for span in re.findall(r"`([^`\n]+)`", text) for word in span.split())
    return {
        word for word in words if re.fullmatch(r"[\w./-]+\.(py|smk|ya?ml|md|toml|json)|\w[\w./-]*/", word)
    }


def test_files_named_in_a_text_are_found():
    assert named_files("`rate.py` and `models/base.py`, `a/` of `make test`, no `x + 1`") == {
        "rate.py",
        "models/base.py",
        "a/",
    }


def test_guides_name_files_that_exist():
    """Relative to the guide, the project, the package or its networks; folders of results have their patterns."""
    folders = {pattern.split("/")[0] + "/" for pattern in products.PATHS.values()}
    package = ROOT / "src/cortseq"
    places = [ROOT, package, package / "networks", package / "networks/training", ROOT / "workflow/scripts"]
    missing = [
        f"{guide}: {name}"
        for guide in GUIDES
        for name in named_files((ROOT / guide).read_text(encoding="utf-8")) - folders
        if not MADE.fullmatch(name)
        and not any((place / name).exists() for place in [(ROOT / guide).parent, *places])
    ]
    assert not missing, missing


def test_the_page_of_keys_names_every_key():
    """config/README.md: a source's and a family's keys stand in its own row, or have a row of their own."""
    text = (ROOT / "config/README.md").read_text(encoding="utf-8")
    rows = {}
    for names, said in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|(.*)$", text, re.MULTILINE):
        for name in re.findall(r"\w+", names):
            rows[name] = {w for span in re.findall(r"`([^`]+)`", said) for w in re.findall(r"\w+", span)}
    entries = {**sources.registry(), **models.registry()}
    assert not set(entries) - set(rows)
    missing = [
        f"{name}: {key}"
        for name, entry in entries.items()
        for key in set(entry.model_fields) - {"source", "family"}
        if key not in rows and key not in rows[name]
    ]
    missing += [key for key in study.Study.model_fields if key not in rows]
    spans = {word for span in re.findall(r"`([^`]+)`", text) for word in re.findall(r"\w+", span)}
    missing += [f"trials: {key}" for key in TrialTable.model_fields if key not in spans]
    assert not missing, missing


# -- commands that are shown ----------------------------------------------------------------------------


def _shown() -> list[tuple[str, str]]:
    """Every `cortseq` command of an indented block, with the page it stands on."""
    pages = ("README.md", *(f"docs/{page}" for page in PAGES), "docs/claims/state_space.md")
    lines = ((page, line) for page in pages for line in (ROOT / page).read_text("utf-8").splitlines())
    commands = (
        (page, part) for page, line in lines if line.startswith("    cortseq ") for part in line.split("&&")
    )
    return [(page, part.split("#")[0].strip()) for page, part in commands]


@pytest.mark.parametrize(("page", "command"), _shown())
def test_a_command_that_is_shown_is_one(page, command):
    """Its name, its options and how many files it takes are those of the program."""
    import typer

    from cortseq import cli

    _, name, *words = shlex.split(command)
    words = words[: words.index("--")] if "--" in words else words
    app = typer.main.get_command(cli.app)
    app.commands[name].make_context(name, words)


def test_every_page_stands_in_the_table_of_contents():
    given = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    flat = json.dumps(given["nav"])
    pages = {file.relative_to(ROOT / "docs").as_posix() for file in (ROOT / "docs").rglob("*.md")}
    assert not [page for page in pages if f'"{page}"' not in flat]


def test_the_gallery_asks_a_question_of_every_figure(monkeypatch):
    """It shows every figure that the default study draws, in pictures that are small together."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import gallery

    assert set(gallery.QUESTIONS) == set(figures.registry())
    plan = stages.Plan(study.read(ROOT / "config/config.yaml"), None)
    drawn = {name for facts in (plan.whole, *plan.facts.values()) for name in plan.drawn(facts)}
    assert {name for name in gallery.QUESTIONS if gallery.pictured(name)} == drawn
    assert sum(file.stat().st_size for file in gallery.PICTURES.iterdir()) < 3e6
    page = gallery.page()
    assert page.count("![") == len(drawn)
    assert all(f"## {question}" in page for question in gallery.QUESTIONS.values())


def test_the_readme_fits_on_a_screen():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("\n") <= 60
    (picture,) = re.findall(r"!\[.+\]\((.+)\)", text)
    assert (ROOT / picture).stat().st_size < 200_000
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / target).exists(), target


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    asked = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    ran = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    for page in (
        "index",
        "tutorial",
        "gallery",
        "commands",
        "contents",
        "reference/families",
        "reference/api",
        "claims/dale",
    ):
        assert (tmp_path / f"{page}.html").stat().st_size > 10_000


# -- notebooks as pages ------------------------------------------------------------------------------


def _page(file):
    spec = importlib.util.spec_from_file_location("notebooks", ROOT / "docs" / "notebooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.page(file)


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("*.ipynb")), ids=lambda file: file.stem)
def test_a_notebook_is_a_page_with_its_outputs(file):
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    page, pictures = _page(file)
    assert page.startswith("# ") and f"examples/{file.stem}.md" in (ROOT / "mkdocs.yml").read_text()
    for cell in cells:
        source = "".join(cell["source"]).rstrip()
        assert source in page if cell["cell_type"] == "markdown" else f"```python\n{source}\n```" in page
    drawn = [o for c in cells for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(pictures) == len(drawn) > 0
    assert re.findall(r"!\[[^]]+\]\((.+?)\)", page) == list(pictures)
    assert all(content.startswith(b"\x89PNG") for content in pictures.values())
    assert "<style" not in page and "<script" not in page and "\x1b" not in page


def test_outputs_of_a_notebook(tmp_path):
    """A table stays a table, HTML with a style of its own becomes text, colours of a terminal go."""
    table = {"text/html": ["<table>\n", "\n", "</table>"], "text/plain": ["t"]}
    styled = {"text/html": ["<style></style>"], "text/plain": ["plain"]}
    outputs = [{"output_type": "stream", "text": ["\x1b[31mred\x1b[0m\n"]}, {"data": table}, {"data": styled}]
    cells = [
        {"cell_type": "markdown", "source": ["# Title"]},
        {"cell_type": "code", "source": ["1"], "outputs": outputs},
    ]
    file = tmp_path / "a.ipynb"
    file.write_text(json.dumps({"cells": cells}))
    page, pictures = _page(file)
    shown = ["```python\n1\n```", "```text\nred\n```", '<div class="output"><table>\n</table></div>']
    assert page.split("\n\n")[2:] == [*shown, "```text\nplain\n```\n"] and not pictures
