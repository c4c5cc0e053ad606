"""Figures of a study on one sheet: what may be asked, where panels stand, and what is kept of them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from cortseq import study
from cortseq.errors import CortseqError
from cortseq.figures import registry, sheets, style
from cortseq.plans import panels
from cortseq.stages import Plan, jobs

ASKED = {
    "study": "s",
    "datasets": {"ring": {"source": "synthetic", "kind": "ring"}},
    "models": {"rate": {"family": "rate"}, "markov": {"family": "markov"}},
}


def read(tmp_path, figures, **more):
    file = tmp_path / "s.yaml"
    file.write_text(yaml.safe_dump(ASKED | {"figures": figures} | more))
    return study.read(file)


def panel(value, height, note="", names=()):
    """A drawer of one line through (0, value), its figure `height` inches high."""

    def draw():
        fig, axes = style.figure(1, 2, style.PAGE, height)
        axes[0, 0].plot([0, 1], [value, value])
        if note:
            fig.suptitle(note, fontsize=7)
        if names:
            lines = [axes[0, 1].plot([0], [i])[0] for i, _ in enumerate(names)]
            fig.legend(lines, names, loc="outside lower center", ncols=len(names))
        return fig, pd.DataFrame({"value": [value]})

    return draw


def test_panels_stand_in_rows_with_letters_in_their_order():
    sheet = sheets.Sheet.model_validate([["a", "b"], ["c"]])
    fig, table = sheets.draw(sheet, [panel(1, 2.0), panel(2, 3.0), panel(3, 1.5)])
    assert fig.get_size_inches() == pytest.approx((style.PAGE, 3.0 + 1.5))  # the highest of each row
    first, second = fig.subfigs
    spots = [*first.subfigs, *second.subfigs]
    assert [spot.texts[-1].get_text() for spot in spots] == ["A", "B", "C"]
    assert [spot.axes[0].lines[0].get_ydata()[0] for spot in spots] == [1, 2, 3]
    assert [spot.bbox.width / fig.bbox.width for spot in spots] == pytest.approx([0.5, 0.5, 1])
    assert spots[0].bbox.y0 > spots[2].bbox.y0
    assert list(zip(table["letter"], table["value"], strict=True)) == [("A", 1), ("B", 2), ("C", 3)]


def test_a_figure_by_itself_is_drawn_as_before():
    sheet = sheets.Sheet(rows=[["a"]], size="single")
    fig, _ = sheets.draw(sheet, [panel(1, 2.0)])
    assert fig.get_size_inches()[0] == style.COLUMN
    assert np.allclose(panel(1, 2.0)()[0].get_size_inches(), (style.PAGE, 2.0))  # nothing stays behind


def test_notes_and_legends_keep_to_their_panel():
    drawn = panel(1, 2.0, "a note of many words " * 8, ["a long name of a line"] * 5)
    fig, _ = sheets.draw(sheets.Sheet(rows=[["a", "b"]]), [drawn, drawn])
    fig.draw_without_rendering()
    for spot in fig.subfigs[0].subfigs:
        box = spot.bbox.padded(1)
        for artist in (*spot.texts, *spot.legends):
            extent = artist.get_window_extent()
            assert box.x0 <= extent.x0 and extent.x1 <= box.x1


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"one": [["nothing"]]}, "figures.one: no such figure .*'nothing'.* choose of .*answer"),
        ({"one": [["answer", "answer"]]}, "figures.one: a figure stands twice on a sheet"),
        ({"one": [["release"]]}, "this study makes no such figure .*'release'"),  # of synapses
        ({"one": {"rows": [["answer"]], "dataset": "song"}}, "figures.one: no such dataset"),
        ({"ladder": [["answer"]]}, "figures.ladder: is the name of a figure"),
        ({"answer_ring": [["answer"]]}, "is the name of a figure"),
        ({"one": [[]]}, "at least one figure in each row"),
        ({"one": {"rows": [["answer"]], "size": "huge"}}, "figures.one.size"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_what_there_is(tmp_path, figures, said):
    with pytest.raises(CortseqError, match=said):
        read(tmp_path, figures)


def test_a_sheet_reads_what_its_figures_read(tmp_path):
    found = read(tmp_path, {"one": [["answer", "memory"], ["ladder"]]})
    plan = Plan(found, None)
    (batch,) = [batch for batch in jobs(plan) if batch.name.startswith("sheets")]
    (step,) = batch.steps
    assert step.outputs == [f"results/s/figures/one.{kind}" for kind in ("svg", "pdf", "csv")]
    assert set(step.given["memory/memory"]) == set(plan.files("memory", plan.facts["ring"]))
    assert {key["figure"] for key, _ in step.params["panels"]} == {"answer", "memory", "ladder"}
    caption = found.figures["one"].caption(registry(), panels(found, found.figures["one"]))
    assert (
        caption.startswith("A: Do networks predict better than anything simpler? Models")
        and "C: The ladder" in caption
    )


def test_the_study_of_a_paper_has_five_panels():
    found = study.read(Path(__file__).parents[2] / "config/studies/paper.yaml")
    assert len(found.figures["figure1"].panels) == 5
