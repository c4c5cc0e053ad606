"""Every page and heading of docs/ that the code and the pages cite exists."""

import re
from pathlib import Path

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
