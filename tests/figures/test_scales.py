"""Figures that give scores a scale, by the coordinates of what they draw."""

import numpy as np
import pandas as pd
import pytest
from handmade import comparison
from matplotlib.colors import to_rgba

from cortseq.figures import ceilings, style


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


@pytest.fixture(scope="module")
def rows():
    table = comparison()
    return table[(table["dataset"] == "ring") & ~table["averaged"].astype(bool)]


def test_scores_beside_the_mean_of_all_other_trials(rows):
    oracle = {"quantity": "oracle", "feature": "", "trials": 31, "conditions": "target"}
    units = [
        {"quantity": "reliability", "feature": name, "value": value}
        for name, value in (("u0", 0.7), ("u1", 0.2), ("u2", np.nan))
    ]
    folds = [
        {**oracle, "value": 0.3, "low": 0.2, "high": 0.4},
        {**oracle, "value": 0.5, "low": 0.4, "high": 0.6},
    ]
    figure, table = ceilings.draw(rows, pd.DataFrame([*folds, *units]))
    left, right = figure.axes
    assert ticks(left.yaxis) == ["markov", "lstm", "rate", "psth"]
    green = [line for line in left.lines if to_rgba(line.get_color()) == to_rgba(style.GREEN)]
    assert [float(line.get_xdata()[0]) for line in green] == [pytest.approx(0.4)]
    assert right.lines[0].get_ydata().tolist() == [0.2, 0.7]
    assert table.set_index("what").loc["oracle", ["low", "high"]].tolist() == pytest.approx([0.3, 0.5])
