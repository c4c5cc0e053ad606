"""How the page of a study is laid out, and what it does in a browser where one is installed."""

import html
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from handmade import comparison

from cortseq import report

TEMPLATE = Path(__file__).parents[2] / "workflow/report/report.html.jinja"
SVG = '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="10pt" height="20pt" viewBox="0 0 10 20"><text id="a">x</text></svg>'
TIMING = pd.DataFrame(
    [("ring", "rate", 0, 4.0, 90.0, "cpu")],
    columns="dataset variant fold seconds peak_memory_mb device".split(),
)
AUDITS = {"audits": [{"name": "overlap", "passed": True, "detail": "no trial twice", "stopping": True}]}
STUDY = {
    "study": "hand",
    "seed": 4,
    "folds": 1,
    "members": 3,
    "burn_in": 0,
    "controls": False,
    "calibrate": 0,
    "epochs": {"rate": 120, "lstm": 60},
}
YAML = "study: hand\ndatasets: {ring: {what: 'a <b> & c'}}\n"
FIGURES = [
    ("ladder", "The ladder", ""),
    ("answer_ring", "Do networks <win>?", "ring"),
    ("recording_ring", "The recording", "ring"),
    ("trial_ring", "A trial", "ring"),
    ("trial_song", "A trial", "song"),
]
BROWSER = next((found for name in ("chromium", "google-chrome") if (found := shutil.which(name))), "")


@pytest.fixture(scope="module")
def page():
    names = ("ring", "song", "wave")
    return report.render(
        TEMPLATE,
        STUDY,
        comparison(),
        TIMING,
        dict.fromkeys(names, AUDITS),
        {name: {"trials": f"trials of {name}"} for name in names},
        [
            {
                "name": n,
                "title": t,
                "caption": "what it is",
                "dataset": d,
                "svg": SVG,
                "printed": n != "trial_song",
            }
            for n, t, d in FIGURES
        ],
        {"numpy": "2.1"},
        dynamics={name: {} for name in names},
        made={"commit": "abc123", "yaml": YAML, "machine": "Linux x86_64"},
    )


def test_the_answer_comes_first_then_the_claims_then_the_recording(page):
    marks = [
        'class="summary"',
        'id="figure-answer_ring"',
        '<h2 id="ring" class="recording">',
        'id="recording-ring"',
        'id="figure-recording_ring"',
        'id="comparison-ring"',
        'id="figure-trial_ring"',
        '<h2 id="song" class="recording">',
        'id="figure-ladder"',
        'id="methods"',
        'id="again"',
    ]
    places = [page.index(mark) for mark in marks]
    assert places == sorted(places)


def test_figures_are_numbered_in_their_order_and_linked_to_their_files(page):
    numbers = re.findall(r"<b>Figure (\d+)\. ", page)
    assert numbers == ["1", "2", "3", "4", "5"]
    for name, _, _ in FIGURES:
        for kind in ("svg", "pdf", "csv"):
            assert page.count(f'href="figures/{name}.{kind}"') == 1


def test_every_figure_says_what_it_is_to_those_who_do_not_see_it(page):
    labels = re.findall(r'<svg role="img" aria-label="([^"]*)"', page)
    assert sorted(labels) == sorted(html.escape(title) for _, title, _ in FIGURES)


def test_every_link_within_the_page_leads_somewhere(page):
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    targets = re.findall(r'href="#([^"]+)"', page)
    assert targets and set(targets) <= set(ids)


def test_the_page_says_how_to_make_it_again(page):
    end = page[page.index('id="again"') :]
    assert "abc123" in end and "Linux x86_64" in end and "numpy 2.1" in end
    assert html.unescape(re.findall(r"<pre>(.*?)</pre>", end, re.DOTALL)[1]) == YAML


def test_the_page_cites_what_the_study_used(page):
    """The families of the comparison and the scores; no dynamics here, and one split."""
    cited = page[page.index('id="references"') : page.index('id="again"')]
    assert "Hochreiter, S." in cited and "@article{hochreiter1997long" in cited and "Holm, S." in cited
    assert "Sussillo" not in cited and "Nadeau" not in cited and "Vaswani" not in cited


def test_the_page_needs_nothing_from_elsewhere(page):
    assert not re.search(r'(src|href)="(https?:)?//', page) and "@import" not in page


# -- in a browser ----------------------------------------------------------------------------------------

PROBE = """
<script>{
const said = {};
const table = document.querySelector("#comparison-ring ~ .scroll table");
const names = () => [...table.rows].slice(1).filter((row) => !row.hidden).map((row) => row.cells[0].textContent);
const shown = () => [...table.rows[0].cells].filter((cell) => getComputedStyle(cell).display !== "none").length;
const bar = table.parentElement.previousElementSibling;
said.before = names();
table.rows[0].cells[1].querySelector("button").click();
said.down = names();
table.rows[0].cells[1].querySelector("button").click();
said.up = names();
said.sorted = table.rows[0].cells[1].getAttribute("aria-sort");
table.rows[0].cells[0].querySelector("button").click();
said.by_name = names();
said.columns = [shown()];
bar.querySelector("button").click();
said.columns.push(shown());
const dialog = document.querySelector("dialog");
document.querySelector("figure .links button").click();
said.enlarged = [dialog.open, dialog.querySelectorAll("svg").length, dialog.getAttribute("aria-label")];
dialog.querySelector("button").click();
said.closed = !dialog.open;
said.width = document.documentElement.scrollWidth - innerWidth;
document.body.setAttribute("data-said", JSON.stringify(said));
}</script>
"""


@pytest.fixture(scope="module")
def browsed(page, tmp_path_factory):
    if not BROWSER:
        pytest.skip("no browser")
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(page.replace("</body>", f"{PROBE}</body>"))
    words = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        "--window-size=1280,900",
    ]
    ran = subprocess.run(
        [BROWSER, *words, "--dump-dom", file.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    (said,) = re.findall(r'data-said="([^"]*)"', ran.stdout)
    return json.loads(html.unescape(said)), ran.stderr


def test_no_script_of_the_page_fails(browsed):
    assert "CONSOLE" not in browsed[1], browsed[1]


def test_tables_are_sorted_by_a_column(browsed):
    said, _ = browsed
    assert said["down"] == said["before"]  # the best first, as the table comes
    assert said["up"] == said["before"][::-1] and said["sorted"] == "ascending"
    assert said["by_name"] == sorted(said["before"], key=str.lower)


def test_the_columns_that_matter_come_first_and_the_others_on_demand(browsed):
    few, every = browsed[0]["columns"]
    assert (few, every) == (8, 14)


def test_figures_are_enlarged_and_closed_again(browsed):
    said, _ = browsed
    assert said["enlarged"] == [True, 1, "Figure 1. Do networks <win>?"] and said["closed"]
    assert said["width"] <= 0  # nothing is wider than the window


def test_details_are_not_printed_and_the_page_says_where_they_are(page):
    """Of three figures one is a detail: it is on the page, marked, and named where paper leaves it out."""
    assert re.findall(r'<figure id="figure-(\w+)" class="detail">', page) == ["trial_song"]
    (said,) = re.findall(r'<p class="paper soft">(.*?)</p>', page)
    assert said.endswith("<code>figures/</code>: A trial.")


def test_words_are_explained_where_they_first_stand(page):
    words = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page)
    assert {"null", "member", "fold", "block", "rung", "closed loop"} <= {word for word, _ in words}
    assert all(meaning.endswith(".") for _, meaning in words)
    (title,) = re.findall(r'<a href="#words" title="([^"]*)">members</a>', page)
    assert ("member", title) in words and "3 are asked for" in title


def test_the_methods_have_the_numbers_of_this_study(page):
    part = page[page.index('id="methods"') : page.index('id="references"')]
    assert "seed 4" in part and "<b>ring.</b>" in part
    assert re.search(r"networks, fitted from 3 random starts \(members\) on one split\.", part)
    assert "120 (rate)" in part and "60 (lstm)" in part


# -- on paper ----------------------------------------------------------------------------------------------


def _printed(file: Path) -> int:
    """Print a page as a browser does, and return the number of its sheets."""
    target = file.with_suffix(".pdf")
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
    subprocess.run(
        [BROWSER, *words, f"--print-to-pdf={target}", file.as_uri()],
        capture_output=True,
        timeout=180,
        check=True,
    )
    return len(re.findall(rb"/Type\s*/Page\b", target.read_bytes()))


@pytest.mark.skipif(not BROWSER, reason="no browser")
def test_what_is_folded_and_is_a_detail_takes_no_paper(page, tmp_path):
    """A thousand lines under "What fitting cost" print as their first line; in the open they take sheets."""
    long = "<p>a line</p>" * 1000
    found = {}
    for name, kept in (
        ("plain", ""),
        ("folded", f"<details><summary>more</summary>{long}</details>"),
        ("open", long),
    ):
        file = tmp_path / f"{name}.html"
        file.write_text(page.replace("</main>", f"{kept}</main>"))
        found[name] = _printed(file)
    assert found["folded"] <= found["plain"] + 1 and found["open"] > found["plain"] + 5


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason="no browser")
def test_the_report_of_the_demo_study_is_small_and_short(tmp_path):
    """Of the whole study, at its own numbers: 0.36 MB, no figure above 0.1 MB, 8 sheets when this was written."""
    subprocess.run([sys.executable, "-m", "cortseq", "demo"], cwd=tmp_path, check=True, capture_output=True)
    file = tmp_path / "results/demo/report.html"
    text = file.read_text(encoding="utf-8")
    assert len(text.encode()) < 700_000
    figures = re.findall(r'<figure id="figure-(\w+)".*?(<svg.*?</svg>)', text, re.DOTALL)
    assert len(figures) > 10
    assert {name: len(svg) for name, svg in figures if len(svg) > 150_000} == {}
    assert _printed(file) <= 12
