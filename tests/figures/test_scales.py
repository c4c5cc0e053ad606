"""Figures that give scores a scale, by the coordinates of what they draw."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from handmade import comparison
from matplotlib.colors import to_rgba

from cortseq.figures import (
    bins,
    ceilings,
    curves,
    generation,
    gradients,
    horizon,
    mean_field,
    memory,
    pit,
    release,
    states,
    style,
    trial,
    twins,
    units,
    weight_spectra,
)  # fmt: skip
from cortseq.products import Facts


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
    assert right.lines[0].get_ydata().tolist() == [0.2, 0.7] and right.get_xlabel() == "units, sorted"
    labels, _ = ceilings.draw(rows.assign(metric="bits_per_symbol"), pd.DataFrame([*folds, *units]))
    assert labels.axes[1].get_xlabel() == "symbols, sorted"
    assert table.set_index("what").loc["oracle", ["low", "high"]].tolist() == pytest.approx([0.3, 0.5])


def test_goodness_of_fit_of_all_models(rows):
    rng = np.random.default_rng(0)
    tables = []
    for model, role in (("psth", "baseline"), ("rate", "recurrent"), ("null", "null")):
        share = rng.dirichlet(np.full(20, 50.0))
        made = [{"quantity": "pit", "feature": str(i), "value": share[i], "n": 400} for i in range(20)]
        for n, unit in enumerate(("u0", "u1")):
            made.append({"quantity": "ks", "feature": unit, "value": 0.02 + n * 0.1, "n": 400})
            made.append({"quantity": "dispersion", "feature": unit, "value": 0.9 + n, "n": 400})
        tables.append(pd.DataFrame(made).assign(model=model, role=role))
    figure, table = pit.draw(rows, pd.concat(tables))
    left, middle, right = figure.axes
    assert ticks(middle.yaxis) == ["null", "rate", "psth"]
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["rate", "psth", "null"]
    share = tables[1][tables[1]["quantity"] == "pit"]["value"].to_numpy() * 20
    assert np.allclose(left.patches[0].get_data().values, share)
    assert middle.lines[0].get_xdata()[0] == pytest.approx(pit.LIMIT / 20)
    assert sorted(set(np.round(right.collections[0].get_offsets()[:, 0], 3))) == [0.9, 1.9]
    assert len(table) == 3 * 24
    low, high = left.get_ylim()  # the deviations from 1 fill the panel
    widest = max(np.abs(t.loc[t["quantity"] == "pit", "value"] * 20 - 1).max() for t in tables)
    assert 1 - low == pytest.approx(max(0.1, 1.15 * widest)) and high > 1 + widest


def test_gains_by_time_and_condition():
    one = {"low": 0.1, "high": 0.3, "p": 0.001, "trials": 9, "events": 50}
    made = [
        {"part": "time", "which": "0 to 1", "gain": 0.2, "p_holm": 0.01, **one},
        {"part": "time", "which": "1 to 2", "gain": 0.15, "p_holm": 0.3, **one},
        {"part": "condition", "which": "side left", "gain": 0.25, "p_holm": 0.02, **one},
    ]
    empty = {"null": [xr.Dataset()], "lstm": [xr.Dataset()], "markov": [xr.Dataset()]}
    figure, table = units.draw(empty, pd.DataFrame(made), "nats_per_sample")
    time, condition = figure.axes
    assert ticks(time.yaxis) == ["0 to 1", "1 to 2"] and ticks(condition.yaxis) == ["side left"]
    dots = {float(line.get_xdata()[0]): line.get_mfc() for line in time.lines if line.get_marker() == "o"}
    assert dots == {0.2: style.BLUE, 0.15: "white"}
    assert time.get_xlabel() == "gain over\nmarkov\n(nats/sample)" and len(table) == 3
    assert time.get_title(loc="left") == "time in the trial (s)"
    figure, _ = units.draw(empty, pd.DataFrame(made), "bits_per_symbol")
    assert figure.axes[0].get_title(loc="left") == "place in the sequence (symbols)"


def test_bin_widths_in_bits_per_second():
    made = []
    for width, value in ((10, 0.1), (50, 0.4)):
        for model, role, factor in (
            ("rate", "recurrent", 2.0),
            ("psth", "baseline", 1.0),
            ("null", "null", 0.0),
        ):
            gain = value * factor
            row = {
                "dataset": f"taps_bin{width}",
                "bin_ms": width,
                "model": model,
                "role": role,
                "value": gain,
            }
            made.append({**row, "low": gain - 0.05, "high": gain + 0.1, "value_per_s": 30 * gain})
    other = {**made[0], "dataset": "other"}
    figure, table = bins.draw(pd.DataFrame([*made, other]))
    assert table["recording"].unique().tolist() == ["taps"] and set(table["model"]) == {"rate", "psth"}
    rate = table[table["model"] == "rate"]
    assert np.allclose(rate[["value", "low", "high"]], [[6, 4.5, 9], [24, 22.5, 27]])
    (ax,) = figure.axes
    assert ticks(ax.xaxis) == ["10", "50"] and ax.get_title(loc="left") == "taps"
    assert np.allclose(ax.containers[0][0].get_ydata(), [6, 24])
    empty, _ = bins.draw(pd.DataFrame([other]))
    assert empty.axes[0].texts[0].get_text() == "only counts have bits per second"


@pytest.mark.parametrize(
    ("track", "said"),
    [("counts", ("units", "s after its start")), ("symbols", ("symbols", "symbols after its start"))],
)
def test_captions_have_the_words_of_the_track(track, said):
    facts = Facts(track=track)
    assert f"for each of the {said[0]} (" in ceilings.FIGURE.text(facts)
    assert said[1] in units.FIGURE.text(facts)
    assert ("spike" in units.FIGURE.text(facts)) == (track == "counts")
    assert f"several {'bins' if track == 'counts' else 'symbols'} ahead" in horizon.FIGURE.text(facts)
    assert f"last k {'bins' if track == 'counts' else 'symbols'}" in memory.FIGURE.text(facts)
    assert f"Each {'bin' if track == 'counts' else 'symbol'} is predicted" in trial.FIGURE.text(facts)
    assert ("quarter of its values" in states.FIGURE.text(facts)) == (track == "counts")


def test_captions_explain_what_is_drawn():
    for figure, words in (
        (curves, ("dropout", "1 bit = 0.69 nats")),
        (gradients, ("Dashed", "Shading", "Grey line")),
        (mean_field, ("Bars span",)),
        (generation, ("over that of the recording", "Octaves")),
        (release, ("80 % of its units", "first restart")),
        (twins, ("a colour for each random restart",)),
        (weight_spectra, ("of the first random restart",)),
    ):
        assert all(word in figure.FIGURE.text(Facts(track="counts")) for word in words)
