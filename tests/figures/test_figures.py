"""Figures by the coordinates of what they draw, from inputs made by hand whose numbers all differ."""

import importlib
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from handmade import comparison, variants
from matplotlib.colors import to_rgba

from cortseq import recording as rec
from cortseq.dynamics.summary import summarise
from cortseq.figures import base, style
from cortseq.figures import trial as trial_figure
from cortseq.products import Facts

PLACES = {"theory": "textbook.figures"}


def draw(name: str, **arguments):
    """The matplotlib figure and the table of one figure of the package."""
    return importlib.import_module(
        f"cortseq.{PLACES.get(name.split('.')[0], 'figures')}.{name.split('.')[-1]}"
    ).draw(**arguments)


# -- what a panel shows ----------------------------------------------------------------------------


def panels(figure) -> list:
    """Visible axes with data: colour bars are left out."""
    return [ax for ax in figure.axes if ax.get_visible() and ax.get_label() != "<colorbar>"]


def bar_labels(figure) -> list[str]:
    """Labels of the colour bars."""
    return [ax.get_ylabel() for ax in figure.axes if ax.get_label() == "<colorbar>"]


def ticks(axis) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


def texts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def lines(ax, **look) -> list[np.ndarray]:
    """Points (n, 2) of the lines that look so: color, marker, ls, lw, ms or mfc."""
    found = []
    for line in ax.lines:
        same = (
            getattr(line, f"get_{key}")() == value if "color" not in key and key != "mfc" else
            to_rgba(getattr(line, {"color": "get_color", "mfc": "get_mfc"}[key])()) == to_rgba(value)
            for key, value in look.items()
        )  # fmt: skip
        if all(same):
            found.append(np.asarray(line.get_xydata(), float))
    return found


def drawn(ax, x, y, **look) -> bool:
    """Whether one line of that look goes through exactly these points, in this order."""
    wanted = np.stack(np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float)), -1).reshape(-1, 2)
    return any(
        one.shape == wanted.shape and np.allclose(one, wanted, atol=1e-12, equal_nan=True)
        for one in lines(ax, **look)
    )


def intervals(ax) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of every set of error bars its points (n, 2) and the ends (n, 2) of the bars along y."""
    found = []
    for container in ax.containers:
        line, _, (collection,) = container
        ends = np.array([segment[:, 1] for segment in collection.get_segments()])
        found.append((np.asarray(line.get_xydata(), float), ends))
    return found


def has_interval(ax, x, value, low, high) -> bool:
    """Whether one set of error bars has these points and ends."""
    wanted = np.stack([np.asarray(v, float).ravel() for v in (x, value, low, high)], -1)
    for points, ends in intervals(ax):
        shown = np.concatenate([points, ends], -1)
        if shown.shape == wanted.shape and np.allclose(shown, wanted, atol=1e-12):
            return True
    return False


def legend(owner) -> list[str]:
    """Texts of the legend of an axes or of a figure."""
    found = owner.get_legend() if hasattr(owner, "get_legend") else owner.legends[0]
    return [text.get_text() for text in found.get_texts()]


def test_the_readers_of_this_file_tell_ends_and_looks_apart():
    _, axes = style.figure(1, 1, 2, 2)
    ax = axes[0, 0]
    ax.errorbar([1], [5], [[2], [3]], fmt="o")
    assert has_interval(ax, [1], [5], [3], [8]) and not has_interval(ax, [1], [5], [2], [7])
    ax.plot([1, 2], [3, 4], color=style.RED, ls="--")
    assert drawn(ax, [1, 2], [3, 4], color=style.RED, ls="--")
    assert not drawn(ax, [2, 1], [4, 3]) and not drawn(ax, [1, 2], [3, 4], color=style.BLUE)


def test_names_of_a_user_are_drawn_as_they_are(tmp_path):
    """A label that looks like mathematics that is none stops nothing; one that is some stays text."""
    one = xr.Dataset(
        {"symbols": (("time",), [0, 1, 1]), "valid": (("time",), [True] * 3)},
        attrs={"n_symbols": 2, "labels": ["$x^{$", "$b"]},
    )
    predicted = {"rate": xr.Dataset({"predicted": (("time", "symbol"), np.full((3, 2), 0.5))})}
    with style.style():
        figure, table = trial_figure._symbols(one, predicted, 0)
    style.save(figure, table, tmp_path / "trial")
    axis = panels(figure)[0].yaxis
    assert ticks(axis) == ["$x^{$", "$b"]
    assert not any(text.get_parse_math() for text in axis.get_ticklabels())
    named = dissection(1, label=("trial", ["$x^{$", "$b", "$b", "c", "c"]))
    figure, table = draw("states", dissections={"rate": named})
    style.save(figure, table, tmp_path / "states")
    axes = [ax.yaxis for ax in figure.axes if ticks(ax.yaxis) == ["$b", "$x^{$", "c"]]
    assert len(axes) == 1 and not any(text.get_parse_math() for text in axes[0].get_ticklabels())


# -- scores of all models --------------------------------------------------------------------------


def test_scores_of_every_model():
    table = comparison().query("not averaged")
    figure, shown = draw("scores", comparison=table)
    pd.testing.assert_frame_equal(shown, table)
    ring, song, wave = panels(figure)
    assert ticks(ring.yaxis) == ["null", "markov_order2", "lstm", "rate", "psth"]
    heights = {"null": 0, "markov": 1, "lstm": 2, "rate": 3, "psth": 4}
    colours = {"recurrent": style.BLUE, "markov": style.RED, "baseline": style.GREY, "null": "#C8C8C8"}
    for row in table.query("dataset == 'ring'").itertuples():
        y, colour = heights[row.model], colours[row.role]
        assert drawn(ring, [row.low, row.high], [y, y], color=colour, ls="-")
        assert drawn(ring, [row.low, row.high], [y, y], color=colour, marker="|")
        assert drawn(ring, row.value, y, color=colour, marker="o")
    assert drawn(ring, [0.64] * 2, [0, 1], ls="-", color="k") and drawn(ring, [0.83] * 2, [0, 1], ls=":")
    assert legend(ring) == ["exact filter 0.64", "true rates 0.83"]
    assert [ax.get_title(loc="left") for ax in (ring, song, wave)] == [
        "ring: 31 test trials", "song: 17 test trials", "wave: 36 test trials",
    ]  # fmt: skip
    for ax, unit in ((ring, "bits/spike"), (song, "bits/symbol"), (wave, "nats/sample")):
        assert ax.get_xlabel() == f"gain over the null ({unit})"
    assert legend(figure) == ["recurrent", "Markov chain", "baseline", "null"]
    figure.draw_without_rendering()
    (seconds,) = ring.child_axes  # value_per_s is ten times the value
    assert np.allclose(seconds.get_xlim(), 10 * np.array(ring.get_xlim()))
    assert seconds.get_xlabel() == "bits/s" and not song.child_axes and not wave.child_axes


def test_the_ladder():
    table = comparison()
    figure, shown = draw("ladder", comparison=table)
    pd.testing.assert_frame_equal(shown, table[list(shown)])
    assert {"variant", "rung", "value", "low", "high", "ceiling"} <= set(shown)
    ring, song, wave = panels(figure)
    assert ticks(ring.yaxis) == ["null", "psth", "markov", "lstm", "rate"]  # by rung, then by score
    assert texts(ring) == ["L0", "L0'", "L2", "L7"]
    assert [text.get_position()[1] for text in ring.texts] == [0, 1, 2, 3.5]
    for y, name in enumerate(["null", "psth", "markov", "lstm", "rate"]):
        row = table.set_index(["dataset", "model"]).loc["ring", name]
        assert drawn(ring, [row["low"], row["high"]], [y, y], color=style.ROLE_COLOURS[row["role"]])
        assert drawn(ring, row["value"], y, color=style.ROLE_COLOURS[row["role"]], marker="o")
    rings = [line.get_xydata()[0].tolist() for line in ring.lines if line.get_mfc() == "none"]
    assert rings == [[0.402, 3.0]]  # averaged members, in the row of the lstm
    assert drawn(ring, [0.64] * 2, [0, 1], color="k") and legend(ring) == ["exact filter 0.64"]
    assert wave.get_xlabel() == "gain over the null (nats/sample)" and wave.get_title(loc="left") == "wave"
    assert song.get_xlabel() == "gain over the null (bits/symbol)"


def values_of(ax, name: str) -> float:
    """The height that the name at the right edge points to."""
    (text,) = (text for text in ax.texts if text.get_text() == name)
    return float(text.xy[1])


def test_order_of_the_chains():
    figure, shown = draw("order", variants=variants(), comparison=comparison().query("not averaged"))
    ring, song, wave = panels(figure)
    assert drawn(ring, [1, 2], [0.127, 0.113], color=style.RED)  # 4 states, test gain
    assert drawn(ring, [1, 2], [0.098, 0.092], color=style.RED)  # 8 states
    assert drawn(song, [1, 3], [0.621, 0.633], color=style.RED)  # a gain, as on every other recording
    assert legend(ring) == ["4 states", "8 states"] and texts(ring) == ["lstm", "rate"]
    assert drawn(ring, [0, 1], [0.228] * 2) and drawn(ring, [0, 1], [0.141] * 2)
    assert drawn(song, [0, 1], [0.534] * 2)  # the network's gain
    for ax in (ring, song, wave):  # one colour a model, whatever its rank
        assert drawn(ax, [0, 1], [values_of(ax, "rate")] * 2, color=style.BLUE)
    assert drawn(wave, [0, 1], [0.725] * 2)
    assert [ax.get_ylabel() for ax in (ring, song, wave)] == [
        "test gain over the null (bits/spike)",
        "test gain over the null (bits/symbol)",
        "test gain over the null (nats/sample)",
    ]
    assert {ax.get_xlabel() for ax in (ring, song, wave)} == {"order of the chain"}
    assert ticks(song.xaxis) == ["1", "3"]
    values = shown.set_index(["dataset", "variant"])["value"]
    assert values["ring", "markov_order1_states8"] == 0.098 and values["song", "markov_order3"] == 0.633
    assert values["song", "rate"] == 0.534 and values["ring", "rate"] == 0.228
    half = shown.set_index(["dataset", "variant"])["half_interval"]
    assert half["ring", "rate"] == pytest.approx((0.259 - 0.191) / 2)
    assert len(shown) == 7 + 2 + 1 + 1


def test_order_of_chains_that_are_not_swept_and_of_many_networks():
    """`order: 8` and `depth: 6` are drawn there without a sweep, and so is an eighth network."""
    rows = variants().query("dataset == 'song'").drop(columns=["order", "states"]).assign(model=["a", "b"])
    rows["context"] = [8, 6]
    scores = comparison().query("not averaged and dataset == 'song'")
    network = scores[scores["role"] == "recurrent"].iloc[:1]
    networks = [network.assign(model=f"rnn{i}", variant=f"rnn{i}", value=1.0 + i) for i in range(9)]
    figure, shown = draw("order", variants=rows, comparison=pd.concat([scores, *networks]))
    (song,) = panels(figure)
    assert drawn(song, [8], [0.621], color=style.RED) and drawn(song, [6], [0.633], color=style.RED)
    assert ticks(song.xaxis) == ["6", "8"]
    for i in range(9):
        assert drawn(song, [0, 1], [1.0 + i] * 2)
    looks = [(line.get_color(), line.get_linestyle()) for line in song.lines if len(line.get_xdata()) == 2]
    assert len(set(looks)) == len(looks) == 10 and len(shown) == 2 + 10


def test_an_order_of_0_does_not_press_the_others_together():
    rows = variants().query("dataset == 'song'").assign(context=[1, 3])
    nothing = rows.iloc[:1].assign(variant="markov_order0", order=0, context=0, test=-0.0001)
    scores = comparison().query("not averaged and dataset == 'song'")
    figure, _ = draw("order", variants=pd.concat([nothing, rows]), comparison=scores)
    (song,) = panels(figure)
    assert 0.4 < song.get_ylim()[0] < 0.534 and song.get_ylim()[1] > 0.633
    assert "order 0: 0.000, below the axis" in texts(song)


# -- one recording: training, units, tasks ---------------------------------------------------------


def test_training_curves():
    """The dot is where weights were kept: member 0's later, lower loss came after its patience was over."""
    member = np.repeat([0, 1], 4)
    curve = pd.DataFrame(
        {
            "member": member,
            "epoch": [1, 2, 3, 4] * 2,
            "train_loss": [3.1, 2.7, 2.4, 2.2, 3.3, 2.9, 2.6, 2.5],
            "valid_loss": [3.2, 2.85, 2.95, 2.65, 3.4, 3.0, 2.8, 2.75],
            "best": [True, True, False, False, True, True, True, True],
        }
    )
    empty = curve.iloc[:0]
    figure, shown = draw("curves", curves={"rate": curve, "esn": empty}, event="spike")
    (ax,) = panels(figure)
    for m, best in ((0, (2, 2.85)), (1, (4, 2.75))):
        rows = curve[curve["member"] == m]
        assert drawn(ax, rows["epoch"], rows["train_loss"], color=style.CYCLE[m], lw=0.6)
        assert drawn(ax, rows["epoch"], rows["valid_loss"], color=style.CYCLE[m], lw=1.2)
        assert drawn(ax, *best, color=style.CYCLE[m], marker="o")
    assert ax.get_ylabel() == "loss (nats/spike)" and ax.get_xlabel() == "epoch"
    assert ax.get_title(loc="left") == "rate" and "thin: training, thick: validation" in figure.get_suptitle()
    pd.testing.assert_frame_equal(shown, curve.assign(variant="rate"))


def _unit_product(units, scores, events) -> xr.Dataset:
    """A score product of two test trials and a training trial: (member, trial, unit), (trial, unit)."""
    return xr.Dataset(
        {
            "unit_score": (("member", "trial", "unit"), np.asarray(scores, float)),
            "unit_events": (("trial", "unit"), np.asarray(events)),
        },
        {"trial": [4, 7, 1], "role": ("trial", ["test", "test", "train"]), "unit": units},
    )


def test_units_of_the_network_against_the_chain():
    """Two folds of different units; training trials and members that differ must not get in."""
    a, b = ["u1", "u2", "quiet"], ["u2", "u3"]
    events = [[3, 5, 0], [2, 4, 0], [90, 90, 90]], [[1, 6], [2, 7], [90, 90]]
    rng = np.random.default_rng(0)
    folds = {
        name: [
            _unit_product(units, -rng.uniform(1, 9, (members, 3, len(units))), spikes)
            for units, spikes in zip((a, b), events, strict=True)
        ]
        for name, members in (("null", 1), ("lstm", 2), ("markov_order2", 1))
    }
    figure, shown = draw("units", products=folds)

    def score(name: str, unit: str) -> float:
        total = 0.0
        for product in folds[name]:
            names = list(product["unit"].values)
            if unit in names:
                total += product["unit_score"].values[:, :2, names.index(unit)].mean(0).sum()
        return total

    spikes = {"u1": 5, "u2": 9 + 3, "u3": 13}
    expected = {
        name: [(score(name, u) - score("null", u)) / (n * np.log(2)) for u, n in spikes.items()]
        for name in ("lstm", "markov_order2")
    }
    assert shown["unit"].tolist() == list(spikes) and shown["spikes"].tolist() == list(spikes.values())
    for name, values in expected.items():
        assert np.allclose(shown[name], values)
    (ax,) = panels(figure)
    offsets = ax.collections[0].get_offsets()
    assert np.allclose(offsets, np.stack([expected["markov_order2"], expected["lstm"]], 1))
    assert ax.get_xlabel() == "expected counts of\nmarkov_order2\n(mean-rate score, bits/spike)"
    assert ax.get_ylabel() == "expected counts of\nlstm\n(mean-rate score, bits/spike)"
    lowest, highest = (f([*expected["lstm"], *expected["markov_order2"]]) for f in (min, max))
    room = 0.08 * (highest - lowest)  # no empty quarters down to 0
    assert ax.get_xlim() == ax.get_ylim() == pytest.approx((lowest - room, highest + room))
    above = sum(n > c for n, c in zip(expected["lstm"], expected["markov_order2"], strict=True))
    assert ax.get_title(loc="left") == f"{above} of 3 units above the diagonal"
    sizes = ax.collections[0].get_sizes()
    assert np.argsort(sizes).tolist() == [0, 1, 2]
    (diagonal,) = lines(ax)
    assert (diagonal[:, 0] == diagonal[:, 1]).all()


def _horizon_table() -> pd.DataFrame:
    columns = "model role horizon value low high kind trials biased".split()
    rows = [
        ("null", "null", 1, 0.0, 0.0, 0.0, "exact", 9, False),
        ("null", "null", 4, 0.0, 0.0, 0.0, "exact", 9, False),
        ("psth", "baseline", 1, 0.12, 0.09, 0.17, "exact", 9, False),
        ("psth", "baseline", 4, 0.12, 0.09, 0.17, "exact", 9, False),
        ("markov", "markov", 1, 0.31, 0.27, 0.33, "label chain", 9, False),
        ("markov", "markov", 4, 0.11, 0.05, 0.14, "label chain", 9, False),
        ("rate", "recurrent", 1, 0.44, 0.38, 0.47, "sampled", 9, False),
        ("rate", "recurrent", 4, 0.21, 0.18, 0.29, "sampled", 9, True),
        ("rate", "recurrent", 1, 0.44, 0.37, 0.46, "plug-in", 9, False),
        ("rate", "recurrent", 4, -0.6, -0.9, -0.5, "plug-in", 9, False),
    ]
    return pd.DataFrame(rows, columns=columns)


def test_scores_further_ahead():
    table = _horizon_table()
    figure, shown = draw("horizon", table=table, metric="bits_per_spike")
    pd.testing.assert_frame_equal(shown, table)
    (ax,) = panels(figure)
    assert len(intervals(ax)) == 3  # plug-ins have no bars, the null is no line
    for model in ("psth", "markov", "rate"):
        rows = table[(table["model"] == model) & (table["kind"] != "plug-in")]
        assert has_interval(ax, *(rows[c] for c in ("horizon", "value", "low", "high")))
    assert drawn(ax, [1, 4], [0.44, -0.6], ls=":", color=style.BLUE)  # the colour of its network
    assert drawn(ax, [1, 4], [0.44, 0.21], ls="-", color=style.BLUE)
    assert drawn(ax, [1, 4], [0.31, 0.11], ls="-", color=style.RED)  # that of chains in every figure
    assert drawn(ax, [1, 4], [0.12, 0.12], ls="--", color=style.GREY)
    assert texts(ax) == ["markov (label chain)", "psth (no past)", "rate (sampled)"]  # from below
    hollow = [line for line in ax.lines if line.get_markerfacecolor() == "white" and len(line.get_xdata())]
    assert [(*line.get_xydata()[0], line.get_color()) for line in hollow] == [(4, 0.21, style.BLUE)]
    assert ticks(ax.xaxis) == ["1", "4"]
    assert ax.get_xlabel() == "bins ahead" and ax.get_ylabel() == "gain over the null (bits/spike)"
    assert ax.get_title(loc="left").startswith("9 test trials")
    low, high = ax.get_ylim()
    assert low < 0 and 0.47 < high < 0.6 and low > -0.5
    one, _ = draw("horizon", table=table[table["horizon"] == 1], metric="bits_per_spike")
    assert set(texts(panels(one)[0])) == set(texts(ax))  # one horizon does not tell who knows no past
    chains = [table[table["role"] == "markov"].assign(model=f"chain{i}") for i in range(6)]
    many, _ = draw("horizon", table=pd.concat([table, *chains]), metric="bits_per_spike")
    assert len(texts(panels(many)[0])) == 9  # looks begin again, and do not end
    far = table.copy()
    far.loc[far["model"] == "psth", ["value", "low", "high"]] = -3.0
    low, _ = draw("horizon", table=far, metric="bits_per_spike")
    assert "psth (no past): -3.00, below the axis" in texts(panels(low)[0])
    symbols, _ = draw("horizon", table=table, metric="bits_per_symbol")
    assert panels(symbols)[0].get_xlabel() == "symbols ahead"


def test_gain_of_the_past():
    columns = "memory value low high p_value kind model".split()
    rows = [
        (5, 0.07, 0.05, 0.11, 0.01, "re-run", "rate"),
        (1, 0.21, 0.15, 0.24, 0.02, "re-run", "rate"),
        (1, 0.29, 0.26, 0.37, 0.03, "re-run", "lstm"),
        (5, 0.16, 0.13, 0.18, 0.04, "re-run", "lstm"),
        (2, 0.09, 0.01, 0.12, 0.05, "re-trained", "lstm"),
    ]
    table = pd.DataFrame(rows, columns=columns)
    figure, shown = draw("memory", table=table, metric="bits_per_symbol")
    pd.testing.assert_frame_equal(shown, table)
    left, right = panels(figure)
    assert has_interval(left, [1, 5], [0.21, 0.07], [0.15, 0.05], [0.24, 0.11])
    assert has_interval(left, [1, 5], [0.29, 0.16], [0.26, 0.13], [0.37, 0.18])
    assert len(intervals(right)) == 1 and has_interval(right, [2], [0.09], [0.01], [0.12])
    assert drawn(left, [1, 5], [0.21, 0.07], color=style.BLUE) and drawn(right, 2, 0.09, color=style.GREEN)
    assert left.get_title(loc="left") == "re-run: restarted k symbols before"
    assert right.get_title(loc="left") == "re-trained on windows of k symbols"
    assert left.get_xlabel() == right.get_xlabel() == "k (symbols)"
    assert left.get_ylabel() == right.get_ylabel() == "gain of the whole past (bits/symbol)"
    assert ticks(left.xaxis) == ["1", "5"] and ticks(right.xaxis) == ["2"]
    assert legend(figure) == ["rate", "lstm"]
    alone, _ = draw("memory", table=table[table["kind"] == "re-run"], metric="bits_per_symbol")
    assert [ax.get_title(loc="left") for ax in panels(alone)] == ["re-run: restarted k symbols before"]


def test_free_runs():
    columns = "member statistic measure value ruler model role".split()
    rows = [
        (0, "PSTH", "correlation", 0.61, 0.93, "markov", "markov"),
        (0, "PSTH", "correlation", 0.78, 0.93, "rate", "recurrent"),
        (1, "PSTH", "correlation", 0.82, 0.93, "rate", "recurrent"),
        (0, "PSTH", "error", 0.52, 0.17, "markov", "markov"),
        (0, "PSTH", "error", 0.34, 0.17, "rate", "recurrent"),
        (1, "PSTH", "error", 0.29, 0.17, "rate", "recurrent"),
    ]
    table = pd.DataFrame(rows, columns=columns)
    figure, shown = draw("generation", table=table)
    pd.testing.assert_frame_equal(shown, table)
    correlation, error = panels(figure)
    for ax, values, ruler in ((correlation, [0.61, 0.78, 0.82], 0.93), (error, [0.52, 0.34, 0.29], 0.17)):
        (dots,) = ax.collections
        assert np.allclose(dots.get_offsets(), np.stack([values, [0, 1, 1]], 1))
        assert np.allclose(
            dots.get_facecolors()[:, :3], [to_rgba(c)[:3] for c in (style.RED, *[style.BLUE] * 2)]
        )
        assert drawn(ax, [ruler] * 2, [0, 1], color="k") and ax.get_title(loc="left") == "PSTH"
    assert ticks(correlation.yaxis) == ["markov", "rate"]
    assert correlation.get_xlabel() == "correlation (1 is best)" and (
        error.get_xlabel() == "rms error / rms recorded\n(0 is best)"
    )


def _forgetting_table() -> pd.DataFrame:
    columns = "quantity learned tested value low high metric members trials".split()
    unit = ("bits_per_spike", 3, 20)
    rows = [
        ("score", "one", "one", 0.31, 0.25, 0.39, *unit),
        ("score", "one", "two", 0.12, 0.07, 0.15, *unit),
        ("score", "two", "one", 0.18, 0.11, 0.23, *unit),
        ("score", "two", "two", 0.42, 0.36, 0.45, *unit),
        ("change", "two", "one", -0.13, -0.19, -0.09, *unit),
        ("ACC", "two", "all", 0.30, 0.24, 0.33, *unit),
        ("BWT", "two", "earlier", -0.14, -0.20, -0.08, *unit),
    ]
    return pd.DataFrame(rows, columns=columns)


def test_what_is_left_of_earlier_sessions():
    table = _forgetting_table()
    figure, shown = draw("forgetting", tables={"rate_after": table})
    pd.testing.assert_frame_equal(shown, table.assign(variant="rate_after"))
    matrix, changes = panels(figure)
    assert np.array_equal(matrix.images[0].get_array(), [[0.31, 0.12], [0.18, 0.42]])  # row: after learning
    said = {text.get_position(): text.get_text() for text in matrix.texts}
    assert said[1, 0] == "+0.120\n± 0.040" and said[0, 1] == "+0.180\n± 0.060"  # x: tested on
    assert matrix.get_xlabel() == "tested on" and matrix.get_ylabel() == "after learning"
    assert ticks(matrix.xaxis) == ticks(matrix.yaxis) == ["one", "two"]
    assert bar_labels(figure) == ["gain over the null (bits/spike)"]
    assert has_interval(changes, [1], [-0.13], [-0.19], [-0.09])
    assert drawn(changes, [0, 1], [0, -0.13])  # from the stage at which it was learned
    assert changes.get_ylabel() == "change since learned (bits/spike)" and legend(changes) == ["one"]
    assert changes.get_title(loc="left") == "ACC +0.300 [+0.240, +0.330]\nBWT -0.140 [-0.200, -0.080]"


# -- one trial with its predictions ----------------------------------------------------------------


def _predicted(trials, time, feature: str, names, values) -> xr.Dataset:
    return xr.Dataset(
        {"predicted": (("trial", "time", feature), values)}, {"trial": trials, "time": time, feature: names}
    )


def test_a_trial_of_counts():
    """Counts per bin beside predicted rates in Hz, units in the order of their predicted peaks."""
    rng = np.random.default_rng(1)
    counts = rng.permutation(60).reshape(3, 5, 4)
    valid = np.ones((3, 5), bool)
    valid[:, 4] = False
    recording = rec.from_counts(
        np.where(valid[..., None], counts, 0),
        bin_width=0.05,
        valid=valid,
        unit_names=[f"n{i}" for i in range(4)],
    )
    trials = [0, 1, 2]
    rates = {name: rng.permutation(60).reshape(3, 5, 4) / 100 for name in ("lstm", "markov")}
    predictions = {
        name: _predicted(trials, recording["time"].values, "unit", recording["unit"].values, values)
        for name, values in rates.items()
    }
    figure, shown = draw("trial", recording=recording, predictions=predictions)
    totals = np.where(valid[..., None], counts, 0).sum((1, 2))
    median = int(np.argsort(totals)[1])
    order = np.argsort(rates["lstm"][median, :4].argmax(0), kind="stable")
    recorded, lstm, markov = panels(figure)
    assert np.array_equal(recorded.images[0].get_array(), counts[median, :4].T[order])
    assert np.allclose(lstm.images[0].get_array(), rates["lstm"][median, :4].T[order] / 0.05)
    assert np.allclose(markov.images[0].get_array(), rates["markov"][median, :4].T[order] / 0.05)
    assert bar_labels(figure) == ["spikes/bin", "predicted rate (Hz)"]
    assert [ax.get_title(loc="left") for ax in (recorded, lstm, markov)] == [
        f"recorded, trial {median}", "lstm", "markov",
    ]  # fmt: skip
    assert np.allclose(recorded.images[0].get_extent(), (0, 0.2, -0.5, 3.5))
    assert recorded.images[0].origin == "lower" and recorded.get_xlabel() == "time (s)"
    cell = shown.set_index(["panel", "feature", "time"])["value"]
    for unit in range(4):
        for t in range(4):
            name, time = f"n{unit}", recording["time"].values[t]
            assert cell["recorded", name, time] == counts[median, t, unit]
            assert cell["markov", name, time] == pytest.approx(rates["markov"][median, t, unit] / 0.05)
    assert len(shown) == 3 * 16


def test_a_trial_of_symbols():
    sequences = [[0, 1, 2, 0], [2, 0, 1, 1, 0, 2], [1, 2]]
    recording = rec.from_symbols([np.array(s) for s in sequences], n_symbols=3)
    raw = np.random.default_rng(2).uniform(0.1, 1, (2, 3, 6, 3))
    share = raw / raw.sum(-1, keepdims=True)
    predictions = {
        name: _predicted([0, 1, 2], recording["time"].values, "symbol", [0, 1, 2], share[i])
        for i, name in enumerate(("lstm", "markov"))
    }
    figure, shown = draw("trial", recording=recording, predictions=predictions)
    for i, ax in enumerate(panels(figure)):
        assert np.allclose(ax.images[0].get_array(), share[i, 0, :4].T)
        assert drawn(ax, range(4), sequences[0], color=style.RED)
        bits = -np.log2(share[i, 0, np.arange(4), sequences[0]]).mean()
        name = ("lstm", "markov")[i]
        assert ax.get_title(loc="left").startswith(
            f"{name}: loss {bits:.2f} bits/symbol here (trial 0; 0 is best)"
        )
    assert bar_labels(figure) == ["predicted probability"]
    cell = shown.set_index(["panel", "feature", "time"])["value"]
    assert cell["markov", "2", 1] == pytest.approx(share[1, 0, 1, 2]) and cell["came", "2", 2] == 1


def test_a_trial_of_a_signal():
    rng = np.random.default_rng(3)
    y = rng.normal(size=(3, 6, 2))
    recording = rec.from_signal(y, bin_width=0.1)
    guess = rng.normal(size=(3, 6, 2))
    channels = recording["channel"].values
    one = _predicted([0, 1, 2], recording["time"].values, "channel", channels, guess)
    figure, shown = draw("trial", recording=recording, predictions={"rate": one})
    for i, ax in enumerate(panels(figure)):
        assert drawn(ax, recording["time"], y[1, :, i], color="k")
        assert drawn(ax, recording["time"], guess[1, :, i])
        assert ax.get_ylabel().startswith(f"channel {channels[i]}")
    assert panels(figure)[-1].get_xlabel() == "time (s)" and legend(panels(figure)[0]) == ["recorded", "rate"]
    cell = shown.set_index(["panel", "feature", "time"])["value"]
    assert cell["rate", str(channels[1]), recording["time"].values[2]] == pytest.approx(guess[1, 2, 1])


# -- dynamics --------------------------------------------------------------------------------------

TIME = np.array([0.0, 0.02, 0.04, 0.06])


def dissection(seed: int, track: str = "counts", members: int = 2, points: int = 3, **more) -> xr.Dataset:
    """A product of `dynamics`, no number twice: 5 trials of 4 bins, states of 3 dimensions."""
    rng = np.random.default_rng(seed)
    stable = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])[:members, :points]
    sizes = {
        "projected": ("trial time component", (5, 4, 3)),
        "states": ("trial time dim", (5, 4, 3)),
        "mean": ("dim", (3,)),
        "components": ("component dim", (3, 3)),
        "fixed_points_projected": ("one point component", (1, points, 3)),
        "slow_points": ("member slow dim", (members, 2, 3)),
        "condition_projected": ("condition component", (2, 3)),
        "grid": ("row column axis", (3, 3, 2)),
        "velocity": ("row column axis", (3, 3, 2)),
        "plane_states": ("member trial time plane", (members, 5, 4, 2)),
        "plane_points": ("member point plane", (members, points, 2)),
        "jacobian_eigenvalues_real": ("member point dim", (members, points, 3)),
        "jacobian_eigenvalues_imag": ("member point dim", (members, points, 3)),
        "nearest_eigenvalues_real": ("member dim", (members, 3)),
        "nearest_eigenvalues_imag": ("member dim", (members, 3)),
        "weight_eigenvalues_real": ("member hidden", (members, 4)),
        "weight_eigenvalues_imag": ("member hidden", (members, 4)),
        "lyapunov": ("member exponent", (members, 3)),
        "expected": ("member point feature", (members, points, 2)),
        "tracking_lag": ("member unit", (members, 4)),
        "inhibition": ("member time", (members, 4)),
        "conditional_exponent": ("member", (members,)),
        "weights_exponent": ("member", (members,)),
        "mean_field_exponent": ("member", (members,)),
        "shuffled_exponent": ("member shuffle", (members, 5)),
    }
    found = {name: (dims.split(), rng.uniform(-0.9, 0.9, shape)) for name, (dims, shape) in sizes.items()}
    above = {
        "lyapunov_error": ("member exponent", (members, 3)),
        "distance": ("member point", (members, points)),
        "speed": ("member point", (members, points)),
        "expected_spread": ("member", (members,)),
        "bulk_radius": ("member", (members,)),
        "jacobian_disc": ("member ends", (members, 2)),
        "weight_disc": ("member ends", (members, 2)),
        "gradient_norm": ("member trial lag", (members, 5, 6)),
        "forget_path": ("member trial lag", (members, 5, 6)),
        "decoded": ("member decoded_lag", (members, 5)),
        "closed_twins": ("member twin step", (members, 3, 5)),
        "sampled_twins": ("member twin step", (members, 3, 5)),
        "excitation": ("member time", (members, 4)),
        "balance_index": ("member unit", (members, 4)),
        "gain": ("member", (members,)),
        "use": ("member time", (members, 4)),
        "resource": ("member time", (members, 4)),
        "efficacy": ("quantile member time", (3, members, 4)),
        "efficacy_at_rate": ("member unit rate", (members, 4, 3)),
        "cue_from_rates": ("member time", (members, 4)),
        "cue_from_efficacy": ("member time", (members, 4)),
        "states_r2": ("pair", (2,)),
    }
    found |= {name: (dims.split(), rng.uniform(0.1, 0.9, shape)) for name, (dims, shape) in above.items()}
    found["efficacy"] = (found["efficacy"][0], np.sort(found["efficacy"][1], 0))
    found["stable"] = (("member", "point"), stable)
    found["shared"] = (("member", "point"), np.array([[0.0, 1.0, 1.0], [1.0, 1.0, 0.0]])[:members, :points])
    found["saturation"] = (("member", "start"), np.array([[1.0, 1.7, 2.3], [0.9, 1.4, 1.9]])[:members])
    found["outlier_p"] = (
        ("member", "hidden"),
        np.array([[0.3, 0.004, 0.8, 0.02], [0.6, 0.7, 0.9, 0.03]])[:members],
    )
    found["explained"] = ("component", [0.61, 0.27, 0.12])
    found["fixed_points_projected"] = (
        found["fixed_points_projected"][0],
        found["fixed_points_projected"][1] / 2,
    )
    found["label"] = ("trial", np.array([3, 1, 5, 2, 4]) / 10)
    coords = {
        "trial": [2, 5, 6, 8, 9],
        "time": TIME,
        "lag": [1, 2, 3, 4, 5, 6],
        "decoded_lag": [-2, -1, 0, 1, 2],
        "rate": [1.0, 10.0, 100.0],
    }
    attrs = {
        "track": track,
        "map": "closed (mean)",
        "bin_width": 0.02,
        "label_name": "move_angle",
        "chaotic": f"no verdict: {members} members",
        "typical_speed": [0.5, 0.25][:members],
    }
    return xr.Dataset({**found, **more}, coords, attrs)


@pytest.fixture(scope="module")
def two():
    return {"rate": dissection(0), "lstm": dissection(1)}


def rows_of(table: pd.DataFrame, **where) -> pd.DataFrame:
    for column, value in where.items():
        table = table[table[column] == value]
    return table


def test_phase_portraits(two):
    figure, table = draw("states", dissections=two)
    for ax, (name, one) in zip(panels(figure), two.items(), strict=True):
        x = one["projected"].values[..., :2]
        lines_drawn = next(c for c in ax.collections if type(c).__name__ == "LineCollection")
        segments = np.array(lines_drawn.get_segments())
        assert np.allclose(segments, np.stack([x[:, :-1], x[:, 1:]], 2).reshape(-1, 2, 2))
        colours, _ = style.label_colours(np.broadcast_to(one["label"].values[:, None], (5, 4)), "move_angle")
        assert np.allclose(lines_drawn.get_colors()[:, :3], colours[:, :-1, :3].reshape(-1, 3))
        points, stable, shared = (
            one["fixed_points_projected"].values[0, :, :2],
            one["stable"].values[0],
            one["shared"].values[0],
        )
        for i in range(3):
            face, size = ("black" if stable[i] else "white"), (6 if shared[i] >= 0.5 else 3.5)
            assert drawn(ax, *points[i], marker="o", mfc=face, ms=size)
        slow = (one["slow_points"].values[0] - one["mean"].values) @ one["components"].values[:2].T
        conditions = one["condition_projected"].values[:, :2]
        low, high = x.min((0, 1)), x.max((0, 1))
        reach = 0.5 * (high - low)
        for marker, at in (("x", slow), ("D", conditions)):
            near = at[((at > low - reach) & (at < high + reach)).all(1)]
            assert drawn(ax, *near.T, marker=marker) if len(near) else not lines(ax, marker=marker)
        assert ax.get_xlabel() == "PC 1 (61 %)" and ax.get_ylabel() == "PC 2 (27 %)"
        assert ax.get_title(loc="left") == f"{name}\n3 fixed points"
        arrows = next(c for c in ax.collections if type(c).__name__ == "Quiver")
        assert np.allclose(arrows.get_offsets(), one["grid"].values.reshape(-1, 2))
        velocity = one["velocity"].values.reshape(-1, 2)
        assert np.allclose(np.arctan2(arrows.V, arrows.U), np.arctan2(velocity[:, 1], velocity[:, 0]))
        state = rows_of(table, variant=name, kind="state")
        assert np.allclose(state[["pc1", "pc2"]], x.reshape(-1, 2))
        assert np.array_equal(state["trial"], np.repeat(one["trial"], 4)) and np.allclose(
            state["time"], np.tile(TIME, 5)
        )
        fixed = rows_of(table, variant=name, kind="fixed point")
        assert np.allclose(fixed[["pc1", "pc2"]], points) and np.array_equal(fixed["stable"], stable)
        assert fixed["shared"].tolist() == [False, True, True]
        assert np.allclose(rows_of(table, variant=name, kind="slow point")[["pc1", "pc2"]], slow)
        moved = rows_of(table, variant=name, kind="velocity")
        assert np.allclose(moved[["velocity1", "velocity2"]], velocity)
    assert bar_labels(figure) == ["move angle (rad)"] and "closed (mean) map" in figure.get_suptitle()


@pytest.mark.parametrize(
    ("track", "held"),
    [("counts", "the mean of each condition"), ("symbols", "each of the most frequent symbols")],
)
def test_the_phase_portrait_and_its_caption_hold_the_same_input(track, held):
    from cortseq.figures.states import FIGURE

    figure, _ = draw("states", dissections={"rate": dissection(2, track)})
    assert f"input held at {held}" in figure.get_suptitle()
    assert f"input held at {held}." in FIGURE.text(Facts(track=track))


def test_members_side_by_side(two):
    figure, table = draw("members", dissections=two)
    axes = panels(figure)
    assert [ax.get_title(loc="left") for ax in axes] == ["member 1", "member 2"] * 2
    for k, ax in enumerate(axes):
        (name, one), member = list(two.items())[k // 2], k % 2
        x, points = one["plane_states"].values[member], one["plane_points"].values[member]
        for trial in range(5):
            assert drawn(ax, *x[trial].T, color=style.SKY)
        for i in range(3):
            face = "black" if one["stable"].values[member, i] else "white"
            size = 4 if one["shared"].values[member, i] >= 0.5 else 2
            near = [
                line
                for line in lines(ax, mfc=face, ms=size)
                if (np.abs(line - points[i]).sum(-1) < 1e-12).any()
            ]
            assert len(near) == 1
        states = rows_of(table, variant=name, member=member, kind="state")
        assert np.allclose(states[["pc1", "pc2"]], x.reshape(-1, 2))
        fixed = rows_of(table, variant=name, member=member, kind="fixed point")
        assert np.allclose(fixed[["pc1", "pc2"]], points)
        assert np.array_equal(fixed["stable"], one["stable"].values[member])
    assert axes[0].get_ylabel() == "rate\nPC 2" and axes[2].get_xlabel() == "PC 1 (of member 1)"


def test_the_search_for_fixed_points(two):
    figure, table = draw("points", dissections=two)
    axes = panels(figure)
    for k, (name, one) in enumerate(two.items()):
        above, below = axes[k], axes[2 + k]
        moduli = np.hypot(one["jacobian_eigenvalues_real"], one["jacobian_eigenvalues_imag"]).values.max(-1)
        for m in range(2):
            assert drawn(above, [1, 2, 3], one["saturation"].values[m], color=style.CYCLE[m])
            for i in range(3):
                face = style.CYCLE[m] if one["stable"].values[m, i] else "white"
                assert drawn(below, one["distance"].values[m, i], moduli[m, i], mfc=face)
        rows = rows_of(table, variant=name, kind="point")
        assert np.allclose(rows["modulus"], moduli.ravel())
        assert np.allclose(rows["distance"], one["distance"].values.ravel())
        assert np.allclose(rows["relative_speed"], (one["speed"].values / [[0.5], [0.25]]).ravel())
        rows = rows_of(table, variant=name, kind="saturation")
        assert (
            np.allclose(rows["found"], one["saturation"].values.ravel())
            and rows["starts"].tolist() == [1, 2, 3] * 2
        )
    assert axes[0].get_ylabel() == "fixed points found" and axes[0].get_xlabel() == "starts"
    assert axes[2].get_ylabel() == "largest |λ| at the point" and axes[3].get_yscale() == "log"
    assert axes[0].get_yscale() == "linear" and figure.get_figwidth() == style.PAGE


def test_spectra_at_the_fixed_points(two):
    figure, table = draw("jacobian_spectra", dissections=two)
    axes = panels(figure)
    for k, (name, one) in enumerate(two.items()):
        plane, modes = axes[k], axes[2 + k]
        values = (one["jacobian_eigenvalues_real"] + 1j * one["jacobian_eigenvalues_imag"]).values[0]
        tau, frequency = -0.02 / np.log(np.abs(values)), np.abs(np.angle(values)) / (2 * np.pi * 0.02)
        rows = rows_of(table, variant=name)
        assert np.allclose(rows["real"], values.real.ravel()) and np.allclose(
            rows["imag"], values.imag.ravel()
        )
        assert np.allclose(rows["tau"], tau.ravel()) and np.allclose(rows["frequency"], frequency.ravel())
        assert rows["point"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
        for stable, colour, marker in ((1.0, style.BLUE, "."), (0.0, style.RED, "o")):
            mine = np.repeat(one["stable"].values[0] == stable, 3).reshape(3, 3)
            assert drawn(plane, values.real[mine], values.imag[mine], color=colour, marker=marker)
            decays = mine & (tau > 0)
            assert drawn(modes, tau[decays], frequency[decays], color=colour, marker=marker)
        angle = np.linspace(0, 2 * np.pi, 200)
        centre, radius = one["jacobian_disc"].values[0]
        assert drawn(plane, np.cos(angle), np.sin(angle), ls="-")
        assert drawn(plane, centre + radius * np.cos(angle), radius * np.sin(angle), ls="--")
        assert plane.get_xlim()[1] >= min(abs(centre) + radius, 3.0)  # the disc is not cut
        assert plane.get_title(loc="left") == f"{name}\nmap: closed (mean)"
        assert modes.get_xlabel() == "time constant (s)" and plane.get_xlabel() == "real part"
    assert axes[0].get_ylabel() == "imaginary part" and axes[2].get_ylabel() == "frequency (Hz)"
    songs, _ = draw("jacobian_spectra", dissections={"rate": dissection(2, "symbols")})
    assert panels(songs)[1].get_xlabel() == "time constant (symbols)"
    assert panels(songs)[1].get_ylabel() == "frequency (1/symbol)"


def test_spectra_of_the_weights(two):
    figure, table = draw("weight_spectra", dissections=two)
    for ax, (name, one) in zip(panels(figure), two.items(), strict=True):
        real, imag = (one[f"weight_eigenvalues_{part}"].values[0] for part in ("real", "imag"))
        out = np.array([False, True, False, True])
        assert drawn(ax, real[~out], imag[~out], color=style.BLUE)
        assert drawn(ax, real[out], imag[out], color=style.ORANGE)
        angle, radius = np.linspace(0, 2 * np.pi, 200), float(one["bulk_radius"].values[0])
        centre, wide = one["weight_disc"].values[0]
        assert drawn(ax, radius * np.cos(angle), radius * np.sin(angle), ls="-")
        assert drawn(ax, centre + wide * np.cos(angle), wide * np.sin(angle), ls="--")
        assert ax.get_title(loc="left") == f"{name}\n2 outliers, p = 0.004"
        assert ax.get_xlabel() == "real part" and ax.get_ylabel() == "imaginary part"
        rows = rows_of(table, variant=name)
        assert np.allclose(rows["real"], real) and np.allclose(rows["imag"], imag)
        assert rows["p"].tolist() == [0.3, 0.004, 0.8, 0.02] and np.allclose(rows["bulk_radius"], radius)
        assert np.allclose(rows[["profile_centre", "profile_radius"]], [centre, wide])


def test_lyapunov_exponents(two):
    figure, table = draw("lyapunov", dissections=two)
    for ax, (name, one) in zip(panels(figure), two.items(), strict=True):
        values, errors = one["lyapunov"].values, one["lyapunov_error"].values
        for m in range(2):
            x = np.arange(1, 4) + (-0.125, 0.125)[m]
            assert has_interval(ax, x, values[m], values[m] - 2 * errors[m], values[m] + 2 * errors[m])
            assert drawn(ax, x, values[m], color=style.CYCLE[m])
        title = " ".join(ax.get_title(loc="left").split())
        assert title == f"{name} not identifiable: no exponents from several starts"
        assert ax.get_xlabel() == "rank of the exponent" and ticks(ax.xaxis) == ["1", "2", "3"]
        rows = rows_of(table, variant=name)
        assert np.allclose(rows["exponent"], values.ravel()) and np.allclose(
            rows["standard_error"], errors.ravel()
        )
        assert rows["member"].tolist() == [0, 0, 0, 1, 1, 1] and rows["index"].tolist() == [1, 2, 3] * 2
    assert panels(figure)[0].get_ylabel() == "exponent (nats/bin)"
    assert (table["starts"] == 1).all()
    songs, _ = draw("lyapunov", dissections={"rate": dissection(2, "symbols")})
    assert panels(songs)[0].get_ylabel() == "exponent (nats/symbol)"


def test_the_largest_exponent_is_the_mean_over_the_starts_of_the_verdict(two):
    """By hand: starts of -.01 and -.03 beside a spectrum from one start that begins at .02."""
    leading = np.array([[-0.01, -0.03], [-0.02, -0.02]])
    one = two["rate"].assign(leading_exponents=(("member", "chaos_start"), leading))
    one["lyapunov"][:, 0] = 0.02
    figure, table = draw("lyapunov", dissections={"rate": one})
    first, rest = (rows_of(table, member=0, index=i) for i in (1, 2))
    assert first["exponent"].tolist() == [-0.02] and first["starts"].tolist() == [2]
    assert first["standard_error"].tolist() == pytest.approx([0.01])
    assert rest["exponent"].tolist() == [one["lyapunov"].values[0, 1]] and rest["starts"].tolist() == [1]
    (ax,) = panels(figure)
    assert has_interval(ax, [0.875], [-0.02], [-0.04], [0.0])
    values, errors = one["lyapunov"].values[0, 1:], one["lyapunov_error"].values[0, 1:]
    assert has_interval(ax, [1.875, 2.875], values, values - 2 * errors, values + 2 * errors)


def test_twin_trajectories(two):
    figure, table = draw("twins", dissections=two)
    for ax, (name, one) in zip(panels(figure), two.items(), strict=True):
        for kind, dash in (("closed", "-"), ("sampled", "--")):
            for m in range(2):
                apart = one[f"{kind}_twins"].values[m]
                ratio = np.exp(np.log(apart / apart[:, :1]).mean(0))
                assert drawn(ax, range(5), ratio, ls=dash, color=style.CYCLE[m])
                assert np.allclose(rows_of(table, variant=name, map=kind, member=m)["ratio"], ratio)
        assert ax.get_xlabel() == "step (bins)" and ax.get_title(loc="left") == name
    assert panels(figure)[0].get_ylabel() == "distance / at start"
    assert legend(figure) == ["closed loop (mean)", "sampled, the same noise for both"]


def test_gradients_and_what_the_state_tells(two):
    figure, table = draw("gradients", dissections=two)
    left, right = panels(figure)
    for k, (name, one) in enumerate(two.items()):
        colour, lag = (style.BLUE, style.GREEN)[k], np.arange(1, 7)
        bands = {}
        for kind in ("gradient_norm", "forget_path"):
            by_member = np.log(one[kind].values).mean(1)
            bands[kind] = [np.exp(f(by_member, 0)) for f in (np.mean, np.min, np.max)]
            assert np.allclose(
                rows_of(table, variant=name, kind=kind)[["mean", "low", "high"]].T, bands[kind]
            )
        assert drawn(left, lag, bands["gradient_norm"][0], color=colour, ls="-")
        assert drawn(left, lag, bands["forget_path"][0], color=colour, ls="--")
        slope = one["conditional_exponent"].values.mean()
        half = lag[lag >= 1.5]
        start = bands["gradient_norm"][0][1]
        assert drawn(left, half, start * np.exp(slope * (half - 2)), ls=":")
        told = one["decoded"].values
        assert drawn(right, [-2, -1, 0, 1, 2], told.mean(0), color=colour)
        rows = rows_of(table, variant=name, kind="decoded")
        assert np.allclose(rows[["mean", "low", "high"]].T, [told.mean(0), told.min(0), told.max(0)])
        for ax, low, high in (
            (left, bands["gradient_norm"][1], bands["gradient_norm"][2]),
            (right, told.min(0), told.max(0)),
        ):
            edge = ax.collections[k].get_paths()[0].vertices[:, 1]
            assert np.allclose(np.unique(edge), np.unique([low, high]))
    assert left.get_xlabel() == "lag k (bins)" and right.get_ylabel() == "variance told by the state (R²)"
    assert right.get_xlabel() == "lag of the observation (bins; negative: to come)"
    assert legend(figure) == ["rate", "lstm"]


def test_mean_field(two):
    from cortseq.theory.random_networks import mean_field_map

    figure, table = draw("mean_field", dissections=two)
    (ax,) = panels(figure)
    for k, (name, one) in enumerate(two.items()):
        gain, fitted, shuffled = (one[v].values for v in ("gain", "weights_exponent", "shuffled_exponent"))
        assert drawn(ax, gain, fitted, color=(style.BLUE, style.GREEN)[k])
        assert has_interval(ax, gain, shuffled.mean(1), shuffled.min(1), shuffled.max(1))
        rows = rows_of(table, variant=name)
        columns = [
            gain,
            fitted,
            shuffled.mean(1),
            shuffled.min(1),
            shuffled.max(1),
            one["mean_field_exponent"].values,
        ]
        names = ["gain", "fitted", "shuffled", "shuffled_low", "shuffled_high", "mean_field"]
        assert np.allclose(rows[names].T, columns)
    gains = np.linspace(0.9 * table["gain"].min(), 1.1 * table["gain"].max(), 80)
    assert drawn(ax, gains, [mean_field_map(g).lyapunov for g in gains], color="k")
    assert ax.get_ylabel() == "largest exponent (nats/step)" and ax.get_xlabel().startswith("gain")
    shuffles = f"shuffled W, mean and range of {shuffled.shape[1]}"
    assert legend(figure) == ["rate", "lstm", "fitted W", shuffles, "mean field"]
    nothing, empty = draw("mean_field", dissections={})
    assert texts(panels(nothing)[0]) == ["no network of tanh units was chosen"] and empty.empty


def test_excitation_and_inhibition(two):
    figure, table = draw("balance", dissections=two)
    axes = panels(figure)
    for k, (name, one) in enumerate(two.items()):
        above, below = axes[k], axes[2 + k]
        e, i = one["excitation"].values, one["inhibition"].values
        for m in range(2):
            assert drawn(above, TIME, e[m], color=style.RED) and drawn(above, TIME, i[m], color=style.BLUE)
            assert drawn(above, TIME, e[m] + i[m], color="k")
        index, lag = one["balance_index"].values, one["tracking_lag"].values
        counted, _ = np.histogram(index, np.linspace(0, 1, 21))
        assert [bar.get_height() for bar in below.patches] == counted.tolist()
        late = np.median(lag, 1).mean()
        title = f"mean {index.mean():.2f}\nlag {late:+.1f} bins (8 of 8 units)"
        assert below.get_title(loc="left") == title and above.get_title(loc="left") == name
        rows = rows_of(table, variant=name, kind="current")
        assert np.allclose(rows["excitation"], e.ravel()) and np.allclose(rows["inhibition"], i.ravel())
        assert np.allclose(rows["time"], np.tile(TIME, 2)) and rows["member"].tolist() == [0] * 4 + [1] * 4
        rows = rows_of(table, variant=name, kind="unit")
        assert np.allclose(rows["balance_index"], index.ravel()) and np.allclose(
            rows["tracking_lag"], lag.ravel()
        )
        assert above.get_xlabel() == "time in trial (s)" and below.get_xlabel() == "balance index"
    assert legend(figure) == ["excitatory", "inhibitory", "sum"]
    assert axes[0].get_ylabel() == "current (units of activity)" and axes[2].get_ylabel() == "units"


def test_lag_and_index_are_those_of_the_table(two):
    """By hand: medians of 2 and -1 bins over the units that have a lag; none where one unit of four has."""
    nan = np.nan
    lags, indices = [[1.0, 3, nan, nan], [-1, nan, nan, -1]], [[0.1, 0.1, 0.1, 0.9], [0.2, 0.2, 0.2, 0.2]]
    one = two["rate"].assign(
        tracking_lag=(("member", "unit"), np.array(lags)),
        balance_index=(("member", "unit"), np.array(indices)),
    )
    figure, _ = draw("balance", dissections={"rate": one})
    table = summarise(one[["tracking_lag", "balance_index"]]).set_index("quantity")["value"]
    assert table["tracking lag (where half of the units have one)"] == 0.5
    assert table["balance index"] == pytest.approx(0.25)
    assert panels(figure)[1].get_title(loc="left") == "mean 0.25\nlag +0.5 bins (4 of 8 units)"
    one["tracking_lag"][:, 1:] = nan
    table = summarise(one[["tracking_lag", "balance_index"]]).set_index("quantity")["value"]
    assert np.isnan(table["tracking lag (where half of the units have one)"])
    figure, _ = draw("balance", dissections={"rate": one})
    assert panels(figure)[1].get_title(loc="left") == "mean 0.25\nlag: only 2 of 8 units"


def test_plastic_synapses(two):
    figure, table = draw("release", dissections=two)
    axes = panels(figure)
    for k, (name, one) in enumerate(two.items()):
        synapses, response, cue = axes[k], axes[2 + k], axes[4 + k]
        low, median, high = one["efficacy"].values[:, 0]
        assert drawn(synapses, TIME, median, color=style.GREEN)
        edge = synapses.collections[0].get_paths()[0].vertices
        assert {tuple(p) for p in np.round(edge, 9)} >= {
            tuple(p) for p in np.round(np.stack([TIME, low], 1), 9)
        }
        assert {tuple(p) for p in np.round(edge, 9)} >= {
            tuple(p) for p in np.round(np.stack([TIME, high], 1), 9)
        }
        for m in range(2):
            assert drawn(synapses, TIME, one["use"].values[m], color=style.ORANGE)
            assert drawn(synapses, TIME, one["resource"].values[m], color=style.BLUE)
            assert drawn(cue, TIME, one["cue_from_rates"].values[m], color="k")
            assert drawn(cue, TIME, one["cue_from_efficacy"].values[m], color=style.GREEN)
        at_rate = one["efficacy_at_rate"].values[0]
        band = at_rate.argmax(1) > 0
        for unit in range(4):
            assert drawn(
                response, [1, 10, 100], at_rate[unit], color=style.PINK if band[unit] else style.BLACK
            )
        assert response.get_title(loc="left") == f"{band.sum()} of 4 synapses pass a band"
        assert (
            response.get_xlabel() == "presynaptic rate (Hz)"
            and cue.get_title(loc="left") == "cue: move angle"
        )
        assert synapses.get_xlabel() == cue.get_xlabel() == "time in trial (s)"
        rows = rows_of(table, variant=name, kind="time")
        for column in ("use", "resource", "cue_from_rates", "cue_from_efficacy"):
            assert np.allclose(rows[column], one[column].values.ravel())
        for i, column in enumerate(("efficacy_10", "efficacy_50", "efficacy_90")):
            assert np.allclose(rows[column], one["efficacy"].values[i].ravel())
        rows = rows_of(table, variant=name, kind="frequency response")
        assert np.allclose(rows["efficacy"], at_rate.ravel()) and rows["rate"].tolist() == [1, 10, 100] * 4
    assert [axes[i].get_ylabel() for i in (0, 2, 4)] == [
        "u, x, u x",
        "u x at a constant rate",
        "cue decoded (AUC)",
    ]
    shown = legend(figure)
    assert shown[:3] == ["release u x (median, 80 %)", "facilitation u", "resources x"]
    assert set(shown[3:-2]) <= {"synapse with a peak (band-pass)", "falling synapse (low-pass)"} != set()
    assert shown[-2:] == ["from rates", "from u x"]


def test_models_against_seeds(two):
    """Distances of spectra by trying every pairing; shared fixed points from row to column."""
    one, other = (two[name].copy(deep=True) for name in two)
    one["distance"].values[:] = [[0.4, 2.0, 0.7], [0.5, 0.6, 3.0]]
    other["distance"].values[:] = [[0.2, 0.3, 0.8], [0.9, 1.5, 0.1]]
    # the first network's near points of member 0 are all points of the other; not the other way round
    other["expected"].values[:, :2] = one["expected"].values[0][[0, 2]]
    other["expected"].values[:, 2] = 7.0
    one["expected"].values[1] = [[20.0, 21.0], [30.0, 31.0], [40.0, 41.0]]
    figure, table = draw("seeds", dissections={"rate": one, "lstm": other})
    matrix, ratio, told, points = panels(figure)

    spectra = [
        (p["nearest_eigenvalues_real"].values + 1j * p["nearest_eigenvalues_imag"].values)[m]
        for p in (one, other)
        for m in range(2)
    ]
    apart = np.array(
        [
            [min(np.abs(a - b[list(k)]).mean() for k in permutations(range(3))) for b in spectra]
            for a in spectra
        ]
    )
    assert np.allclose(matrix.images[0].get_array(), apart)
    members = rows_of(table, kind="members")
    assert np.allclose(members["distance"], apart.ravel())
    between, within = apart[:2, 2:].mean(), (apart[0, 1] + apart[2, 3]) / 2
    assert ratio.images[0].get_array()[0, 0] == pytest.approx(between / within)
    assert texts(ratio) == [f"{between / within:.1f}"] and ratio.texts[0].get_position() == (0, 0)
    assert rows_of(table, kind="models")["ratio"].tolist() == [pytest.approx(between / within)]

    shown = np.asarray(points.images[0].get_array())
    assert shown[0, 1] == pytest.approx(0.5)  # all of member 0's, none of member 1's
    assert shown[1, 0] == pytest.approx((2 / 3 + 0 + 1 / 2 + 0) / 4)
    # of two seeds of one network: member 0 of the first has none of member 1's
    assert shown[0, 0] == 0 and shown[1, 1] == pytest.approx(1.0)
    cell = rows_of(table, kind="fixed points shared").set_index(["a", "b"])["value"]
    assert cell["rate", "lstm"] == pytest.approx(shown[0, 1])
    assert cell["lstm", "rate"] == pytest.approx(shown[1, 0])
    shown = np.asarray(told.images[0].get_array())
    assert np.allclose(np.diag(shown), [one["states_r2"].mean(), other["states_r2"].mean()])
    cell = rows_of(table, kind="states told").set_index(["a", "b"])["value"]
    assert cell["rate", "lstm"] == pytest.approx(shown[0, 1])
    assert bar_labels(figure) == ["Wasserstein distance", "ratio", "R²", "share"]
    for ax in (matrix, told, points):
        assert ticks(ax.yaxis) == ["rate", "lstm"] == ticks(ax.xaxis)
    assert ticks(ratio.yaxis) == ["lstm"] and ticks(ratio.xaxis) == ["rate"]  # no empty row or column


def test_restarts_of_a_single_model_have_one_panel(two):
    figure, table = draw("seeds", dissections={"rate": two["rate"]})
    (matrix,) = panels(figure)
    assert matrix.images[0].get_array().shape == (2, 2) and bar_labels(figure) == ["Wasserstein distance"]
    told, shared = (rows_of(table, kind=k)["value"].item() for k in ("states told", "fixed points shared"))
    title = matrix.get_title(loc="left")
    assert f"R² {told:.2f}\n" in title and f"found again: {shared:.2f} of" in title


def test_states_told_by_a_linear_map_go_from_row_to_column():
    """The second network's states are a projection of the first's: only the first tell the second."""
    one, other = dissection(3), dissection(4)
    rng = np.random.default_rng(5)
    one = one.drop_dims(["trial"])
    states = rng.normal(size=(20, 30, 3))
    one["states"] = (("trial", "time_", "dim"), states)
    other = other.drop_dims(["trial"])
    other["states"] = (("trial", "time_", "dim"), states * [1.0, 0.0, 0.0] + [0.0, 1.0, 2.0])
    figure, _ = draw("seeds", dissections={"rate": one, "lstm": other})
    shown = np.asarray(panels(figure)[2].images[0].get_array())
    assert shown[0, 1] > 0.99 and shown[1, 0] < 0.5


# -- theory ----------------------------------------------------------------------------------------


def test_a_sheet_remembers_exactly_what_it_draws():
    sheet_module = importlib.import_module("cortseq.textbook.figures.sheet")
    sheet = sheet_module.Sheet(1, 3, 2.0)
    one = sheet.panel("first", "gain", "rate (Hz)")
    one.predicted([1, 2, 3], [0.3, 0.7, 0.4], "law", color=style.RED)
    one.measured([1, 3], [0.5, 0.6], "networks", [0.2, 0.55], [0.9, 0.8], color=style.BLUE)
    two = sheet.panel("second", "lag", "R²", xscale="log")
    two.measured([10, 20], [1.5, 1.7], "runs", listed=False)
    table = sheet.table()
    left, right = sheet.figure.axes  # the third was left free
    assert drawn(left, [1, 2, 3], [0.3, 0.7, 0.4], color=style.RED)
    assert has_interval(left, [1, 3], [0.5, 0.6], [0.2, 0.55], [0.9, 0.8])
    assert drawn(right, [10, 20], [1.5, 1.7]) and right.get_xscale() == "log"
    assert left.get_title(loc="left") == "a  first" and right.get_title(loc="left") == "b  second"
    assert left.get_xlabel() == "gain" and left.get_ylabel() == "rate (Hz)"
    networks = rows_of(table, panel="first", series="networks", kind="measured")
    assert networks[["x", "y", "low", "high"]].to_numpy().tolist() == [
        [1, 0.5, 0.2, 0.9],
        [3, 0.6, 0.55, 0.8],
    ]
    law = rows_of(table, panel="first", series="law", kind="predicted")
    assert law["y"].tolist() == [0.3, 0.7, 0.4] and law["low"].isna().all()
    assert rows_of(table, panel="second")["x"].tolist() == [10, 20] and len(table) == 7


def test_mean_and_interval_over_networks():
    values = xr.DataArray([[1.0, 2.0, 6.0], [0.1, 0.4, np.nan]], dims=("gain", "network"))
    mean, low, high = importlib.import_module("cortseq.textbook.figures.sheet").mean_interval(
        values, "network"
    )
    half = [4.302653 * np.std([1, 2, 6], ddof=1) / 3**0.5, 12.706205 * np.std([0.1, 0.4], ddof=1) / 2**0.5]
    assert np.allclose(mean, [3.0, 0.25]) and np.allclose(high - mean, half) and np.allclose(mean - low, half)


def product(seed: int, sizes: dict, coords: dict | None = None, **attrs) -> xr.Dataset:
    """A phenomenon with other positive numbers in every place; sizes: variable -> {dimension: length}."""
    rng = np.random.default_rng(seed)
    found = {name: (tuple(dims), rng.uniform(0.1, 0.9, tuple(dims.values()))) for name, dims in sizes.items()}
    return xr.Dataset(found, coords, attrs)


def shown(table: pd.DataFrame, panel: str, series: str, kind: str, column: str = "y") -> np.ndarray:
    rows = rows_of(table, panel=panel, series=series, kind=kind)
    return rows[column].to_numpy()


def test_costs_of_backpropagation():
    bins, hidden, kept = {"bins": 3}, {"hidden": 2}, {"mode": 3, "memory_bins": 2}
    error = {"gain": 2, "window": 2, "depth": 3}
    found = product(
        0,
        {
            "time_of_bins": bins, "time_of_bins_predicted": bins, "time_of_hidden": hidden,
            "time_of_hidden_predicted": hidden, "kept": kept, "kept_predicted": kept, "error": error,
            "error_predicted": error, "cosine": error,
        },
        {
            "bins": [10, 20, 40], "hidden": [8, 16], "mode": ["all", "one", "root"], "memory_bins": [50, 90],
            "gain": [0.5, 1.5], "depth": [1, 2, 4],
        },
    )  # fmt: skip
    figure, table = draw("theory.cost", found=found)
    time, *_ = panels(figure)
    assert time.get_ylabel() == "time of a step (ms)" and drawn(
        time, [10, 20, 40], 1e3 * found["time_of_bins"]
    )
    assert np.allclose(
        shown(table, "time against T", "∝ T", "predicted"), 1e3 * found["time_of_bins_predicted"]
    )
    assert np.allclose(shown(table, "time against H", "measured", "measured"), 1e3 * found["time_of_hidden"])
    for i, (name, law) in enumerate((("all", "T"), ("one", "1"), ("root", "√T"))):
        for kind, variable in (("measured", "kept"), ("predicted", "kept_predicted")):
            found_here = shown(table, "memory against T", f"{name} ∝ {law}", kind)
            assert np.allclose(found_here, found[variable].values[i] / 2**20)
    for w, panel in enumerate(("every loss goes back k", "windows of k side by side")):
        for g, gain in enumerate((0.5, 1.5)):
            assert np.allclose(shown(table, panel, f"g = {gain:g}", "measured"), found["error"].values[g, w])
            assert np.allclose(
                shown(table, panel, f"g = {gain:g}", "predicted"), found["error_predicted"].values[g, w]
            )
    cosine = shown(table, "windows of k: direction", "g = 1.5", "measured")
    assert np.allclose(cosine, found["cosine"].values[1, 1])


def test_short_term_plasticity():
    rate = {"synapse": 2, "rate": 3}
    found = product(
        1,
        {
            "settled": {**rate, "variable": 2}, "settled_predicted": {**rate, "variable": 2}, "release": rate,
            "release_predicted": rate, "release_of_mean": rate, "release_error": rate,
            "train": {"synapse": 2, "train_spike": 4}, "train_predicted": {"synapse": 2, "train_end": 2},
            "auc": {"cue_from": 2, "delay": 3}, "trace": {"delay": 3}, "trace_predicted": {"delay": 3},
            "peak_rate_predicted": {},
        },
        {
            "synapse": ["depressing", "facilitating"], "rate": [1.0, 10.0, 50.0], "variable": ["u", "x"],
            "train_spike": [1, 2, 3, 4], "train_end": ["first", "steady"], "cue_from": ["rates", "u x"],
            "delay": [-0.1, 0.0, 0.2],
        },
    )  # fmt: skip
    figure, table = draw("theory.plasticity", found=found)
    axes = panels(figure)
    for s, name in enumerate(("depressing", "facilitating")):
        for v, variable in enumerate("ux"):
            series = f"{name}, {variable}"
            assert np.allclose(
                shown(table, "steady states", f"{series}, Runge-Kutta", "measured"), found["settled"][s, :, v]
            )
            assert np.allclose(
                shown(table, "steady states", series, "predicted"), found["settled_predicted"][s, :, v]
            )
        release, half = found["release"].values[s], 1.96 * found["release_error"].values[s]
        assert has_interval(axes[1], [1, 10, 50], release, release - half, release + half)
        scale = np.array([1, 10, 50])
        assert has_interval(
            axes[2], scale, scale * release, scale * (release - half), scale * (release + half)
        )
        assert drawn(axes[2], scale, scale * found["release_predicted"].values[s])
        assert (
            shown(table, "regular train, 20 Hz", f"{name}, steady", "predicted")
            == found["train_predicted"].values[s, 1]
        ).all()
        assert drawn(axes[3], [1, 2, 3, 4], found["train"].values[s])
    assert [ax.get_ylabel() for ax in axes[:3]] == ["u, x", "u x", "r u x (1/s)"]
    assert np.allclose(shown(table, "silent memory", "from rates", "measured"), found["auc"].values[0])
    trace = shown(table, "decay of the trace", "measured", "measured")
    assert np.isnan(trace[0]) and np.allclose(trace[1:], found["trace"].values[1:])


def test_interference_between_tasks():
    change = {"term": 4, "eta": 3}
    found = product(
        2,
        {
            "toy_change": change, "network_change": change, "acc": {"remedy": 2}, "bwt": {"remedy": 2},
            "score": {"remedy": 2, "after": 3, "task": 3}, "acc_predicted": {},
        },
        {
            "term": ["first", "second", "gauss_newton", "measured"], "eta": [0.1, 0.2, 0.4],
            "remedy": ["none", "replay"],
        },
    )  # fmt: skip
    figure, table = draw("theory.interference", found=found)
    for name, panel in (("toy_change", "quadratic toy"), ("network_change", "networks, task 2 after 1")):
        first, second, newton, measured = found[name].values
        assert np.allclose(shown(table, panel, "first + second order", "predicted"), first + second)
        assert np.allclose(shown(table, panel, "Gauss-Newton", "predicted"), newton)
        assert np.allclose(shown(table, panel, "first order", "predicted"), first)
        assert np.allclose(shown(table, panel, "measured", "measured"), measured)
        label = "toy" if "toy" in name else "networks"
        ratio = shown(table, "measured / predicted", label, "measured")
        assert np.allclose(ratio, measured / (first + second))
    for name, label in (("acc", "average score"), ("bwt", "backward transfer")):
        assert np.allclose(shown(table, f"three cycles: {label}", label, "measured"), found[name])
    assert (
        shown(table, "three cycles: average score", "law of the chains", "predicted")
        == float(found["acc_predicted"])
    ).all()
    for r, remedy in enumerate(("none", "replay")):
        assert np.allclose(
            shown(table, "three cycles: task 1", remedy, "measured"), found["score"].values[r, :, 0]
        )
    scores = next(ax for ax in panels(figure) if "average score" in ax.get_title(loc="left"))
    assert ticks(scores.xaxis) == ["none", "replay"] and scores.get_ylabel() == "nats/event"


def test_the_error_of_eulers_step():
    by_rule = {"rule": 2, "step": 3}
    found = product(
        3,
        {
            "error": by_rule, "error_predicted": by_rule, "order": {"rule": 2},
            "impulse": {"rule": 2, "time": 3},
            "impulse_predicted": {"time": 3}, "response": {"rule": 2, "frequency": 2},
            "response_predicted": {"frequency_line": 4}, "response_of_map": {"rule": 2, "frequency_line": 4},
            "growth": {"rule": 2, "mode_step": 3}, "growth_predicted": {"rule": 2, "step_line": 4},
            "threshold_predicted": {}, "orbit": {"run": 3, "orbit_time": 5},
        },
        {
            "rule": ["euler", "exact"], "step": [0.1, 0.2, 0.4], "time": [0.0, 0.1, 0.2],
            "frequency": [1.0, 3.0],
            "frequency_line": [1, 2, 3, 4], "mode_step": [0.5, 1.0, 1.5], "step_line": [0.4, 0.8, 1.2, 1.6],
            "run": ["exact", "0.5", "2.5"], "orbit_time": [0, 1, 2, 3, 4],
        },
        tau=0.05,
    )  # fmt: skip
    figure, table = draw("theory.euler", found=found)
    for r, rule in enumerate(("euler", "exact")):
        for panel, x, name in (
            ("error at a fixed time", "step", "error"),
            ("a damped mode", "mode_step", "growth"),
        ):
            assert np.allclose(shown(table, panel, rule, "measured"), found[name].values[r])
            assert np.allclose(shown(table, panel, rule, "measured", "x"), found[x])
            assert np.allclose(shown(table, panel, rule, "predicted"), found[f"{name}_predicted"].values[r])
        assert np.allclose(
            shown(table, "low-pass filter", rule, "measured"), found["response"].values[r] ** 2
        )
        assert np.allclose(shown(table, "impulse response", rule, "measured"), found["impulse"].values[r])
    assert f"euler, order {float(found['order'][0]):.2f}" in legend(panels(figure)[0])
    half = rows_of(table, series="half power at 1/(2π tau)")
    assert np.allclose(half["x"], 1 / (2 * np.pi * 0.05)) and half["y"].max() == 0.5
    growth = next(ax for ax in panels(figure) if "damped" in ax.get_title(loc="left"))
    assert drawn(growth, [float(found["threshold_predicted"])] * 2, [0, 1], color=style.RED)
    for r, run in enumerate(("0.5", "2.5"), 1):
        series = shown(table, "steps below and above the threshold", run, "measured")
        assert np.allclose(series, found["orbit"].values[r])


def test_a_model_looks_the_same_in_every_figure_of_a_study():
    """Its place in the study decides, not its rank or who else is drawn; networks never have the chains' red."""
    models = [("null", "null"), ("markov", "markov"), ("glm", "baseline")]
    models += [(f"rnn{i}", "recurrent") for i in range(8)]
    found = style.looks(models)
    assert found["markov"].colour == style.RED and found["rnn0"].colour == style.BLUE
    networks = [found[f"rnn{i}"] for i in range(8)]
    assert len(set(networks)) == 8 and style.RED not in {look.colour for look in networks}
    table = comparison()
    looks = base.looks(table)
    assert looks["lstm"] == base.looks(table[table["model"] != "psth"])["lstm"] != looks["rate"]
    assert looks["markov_order2"] == looks["markov"]


def test_names_at_the_ends_of_lines_do_not_touch():
    ax = style.figure(1, 1, 4, 3)[1][0, 0]
    ax.set_ylim(0, 1)
    style.name_ends(ax, [(name, 1.0, 0.9 + 0.001 * i, "k") for i, name in enumerate("abcd")])
    places = [text.xyann[1] for text in ax.texts]
    assert texts(ax) == list("abcd") and min(np.diff(places)) > 0.03 and max(places) <= 1
    assert [text.xy[1] for text in ax.texts] == pytest.approx([0.9, 0.901, 0.902, 0.903])


def test_spectra_of_many_networks_fit_the_page_and_say_where_there_is_no_disc(two):
    one = next(iter(two.values())).assign_attrs(map="closed (mean)")
    many = {f"rnn{i}": one.drop_vars("jacobian_disc") if i == 3 else one for i in range(8)}
    figure, table = draw("jacobian_spectra", dissections=many)
    axes = panels(figure)
    assert figure.get_figwidth() == style.PAGE and len(axes) == 16 and table["variant"].nunique() == 8
    titles = [ax.get_title(loc="left") for ax in axes if ax.get_title(loc="left")]
    assert [title.split("\n")[0].split(";")[0] for title in titles] == list(many)
    assert ["no disc" in title for title in titles] == [name == "rnn3" for name in many]
    figure.canvas.draw()
    for ax in (ax for ax in axes if ax.get_title(loc="left")):  # a title ends with its panel
        assert ax._left_title.get_window_extent().x1 <= ax.get_window_extent().x1


def test_points_outside_of_the_plane_are_counted(two):
    one = next(iter(two.values())).copy(deep=True)
    one["plane_points"].values[1, 0] = 1e6
    figure, _ = draw("members", dissections={"rate": one})
    titles = [ax.get_title(loc="left") for ax in panels(figure)]
    assert titles[1] == "member 2, 1 point outside" and "outside" not in titles[0]
