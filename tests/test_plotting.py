"""Pictures and tables of fits, models, flows and fixed points, as a notebook shows them."""

import dataclasses
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest

import cortseq
from cortseq import dynamics, models, notebook, scoring, theory
from cortseq import recording as rec
from cortseq.errors import CortseqError


@pytest.fixture(scope="module")
def fit(counts):
    return models.Rate(hidden=4, epochs=3).fit(counts, range(20), range(20, 26), members=2)


@pytest.fixture(scope="module")
def points(fit, counts):
    states = fit.states(counts, range(26, 40)).values[0]
    return dynamics.fixed_points(fit.flow(0), states.reshape(-1, 4)[::20])


def drawn(figure, path):
    """The figure is one that can be written."""
    figure.savefig(path / "a.png")
    assert (path / "a.png").stat().st_size > 5000
    return figure.axes


# -- pictures ----------------------------------------------------------------------------------------


def test_a_fit_draws_its_training_curves(fit, tmp_path):
    (ax,) = drawn(fit.plot(), tmp_path)
    assert ax.get_ylabel() == "loss (nats/spike)" and ax.get_title(loc="left") == "Rate"
    validation = fit.curves[fit.curves["member"] == 1]["valid_loss"].to_numpy()
    assert any(np.array_equal(line.get_ydata(), validation) for line in ax.get_lines())


def test_a_fit_draws_what_it_predicts_in_a_held_out_trial(fit, counts, tmp_path):
    axes = drawn(fit.plot(counts), tmp_path)
    trial = int(axes[0].get_title(loc="left").removeprefix("recorded, trial "))
    assert trial in range(26, 40)
    rates = fit.predict(counts, [trial]).values.mean(0)[0] / 0.02
    image = axes[1].get_images()[0].get_array()
    np.testing.assert_allclose(np.sort(image, axis=None), np.sort(rates, axis=None), rtol=1e-5)
    assert fit.plot(counts, [31]).axes[0].get_title(loc="left") == "recorded, trial 31"


@pytest.mark.parametrize("track", ["symbols", "signal"])
def test_other_tracks_are_drawn_too(track, request, tmp_path):
    recording = request.getfixturevalue(track)
    assert drawn(models.Persistence().fit(recording, range(10), range(10, 14)).plot(recording), tmp_path)


def test_what_learned_in_no_epochs_has_no_curves(counts):
    null = models.Null().fit(counts, range(20), range(20, 26))
    with pytest.raises(
        CortseqError, match=r"plot: a null model has no training curves -- give the recording"
    ):
        null.plot()
    with pytest.raises(CortseqError, match=r"plot: there is no picture of this.*'int'"):
        cortseq.plot(3)


def ring(state):
    """A rotation that leaves one unstable point in the middle and gains no length beyond 2."""
    import torch

    turned = torch.stack([state[1], -state[0]])
    return 1.5 * turned / (1 + (state**2).sum() / 4)


def test_fixed_points_are_drawn_in_the_plane_of_what_was_visited(tmp_path):
    starts = np.random.default_rng(0).normal(size=(12, 2))
    points = dynamics.fixed_points(ring, starts)
    assert len(points.states) == 1 and not points.stable[0]
    plane, spectrum = drawn(points.plot(starts), tmp_path)
    labels = [text for _, text in zip(*plane.get_legend_handles_labels(), strict=True)]
    assert labels == ["visited states", "unstable (1)"]
    middle = next(line for line in plane.get_lines() if line.get_label() == "unstable (1)")
    np.testing.assert_allclose(np.hypot(*middle.get_data()), np.linalg.norm(starts.mean(0)), rtol=1e-6)
    values = np.concatenate([line.get_xdata() + 1j * line.get_ydata() for line in spectrum.get_lines()[1:]])
    np.testing.assert_allclose(np.sort_complex(values), [-1.5j, 1.5j], atol=1e-9)
    assert spectrum.get_xlim()[1] > 1.5


def test_points_alone_span_their_own_plane(points, fit, counts, tmp_path):
    plane, spectrum = drawn(points.plot(), tmp_path)
    assert plane.get_xlabel().startswith("PC 1") and spectrum.get_aspect() == 1
    assert drawn(points.plot(fit.states(counts).values[0]), tmp_path)
    empty, flat = np.empty((0, 4)), np.empty(0)
    none = replace(
        points, states=empty, speeds=flat, jacobians=np.empty((0, 4, 4)), eigenvalues=empty.astype(complex),
        stable=flat.astype(bool), distances=flat, slow_states=empty, slow_speeds=flat,
    )  # fmt: skip
    plane, spectrum = drawn(none.plot(), tmp_path)
    assert plane.texts[0].get_text() == "no fixed point found" and spectrum.get_xlim()[1] < 1.2
    assert "stable 0" in read(none._repr_html_())


def test_a_comparison_is_drawn_by_the_same_function(counts):
    found = cortseq.compare(counts, {"flat": models.Flat()})
    assert cortseq.plot(found).axes[0].get_xlabel() == found.plot().axes[0].get_xlabel()


# -- tables ------------------------------------------------------------------------------------------


class Checked(HTMLParser):
    """Every tag is closed, nothing is loaded from outside, and no colour but that of the page is used."""

    def __init__(self):
        super().__init__()
        self.open, self.text = [], ""

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        known = dict(attributes)
        assert not {"src", "href", "onclick"} & set(known) and tag not in ("script", "link", "iframe")
        style = known.get("style") or ""
        assert "#" not in style and "rgb" not in style

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += f"{data} "


def read(page):
    parser = Checked()
    parser.feed(page)
    assert not parser.open
    return parser.text


def test_tables_say_what_an_object_is(fit, points):
    said = read(fit.model._repr_html_())
    assert said.startswith("Rate  h' = (1 - a) h") or said.startswith("Rate h' = (1 - a) h")
    assert "hidden 4" in said and "settings at their defaults" in said and "learning_rate" in said
    said = read(fit._repr_html_())
    assert "Fit of Rate(hidden=4, epochs=3)" in said and "20 trials, choosing on 6" in said
    assert "numbers in a state 4" in read(fit.flow(0)._repr_html_())
    said = read(points._repr_html_())
    assert "Fixed points of the closed map" in said and f"stable {points.stable.sum()}" in said
    assert repr(points) == (
        f"FixedPoints of the closed map: stable {points.stable.sum()}, unstable {(~points.stable).sum()}, "
        f"slow {len(points.slow_states)}, starts that converged {points.n_converged} of {points.n_starts}"
    )


def test_names_from_data_are_escaped():
    page = notebook.facts("<b>", {"a<script>": "x & <i>"}, {"k": "<u>"}, "<em>")
    assert "<script>" not in page and "&lt;script&gt;" in page and "x &amp; &lt;i&gt;" in page
    assert (
        "&lt;em&gt;" in page
        and "&lt;u&gt;" in page
        and "<script>" not in notebook.rows(["<script>"], [["<i>"]])
    )
    counts = np.random.default_rng(0).poisson(1.0, (30, 6, 2))
    found = cortseq.compare(rec.from_counts(counts, bin_width=0.1), {"<script>": models.Flat()})
    assert "<script>" not in found._repr_html_()


def test_many_points_are_cut_short(points):
    many = SimpleNamespace(
        states=np.zeros((20, 2)),
        stable=np.zeros(20, bool),
        eigenvalues=np.ones((20, 2)) * 1j,
        distances=np.ones(20),
        speeds=np.zeros(20),
        map="closed",
        _facts=points._facts,
    )
    said = read(dynamics.FixedPoints._repr_html_(many))
    assert "8 more" in said and said.count(" no ") == 12


# -- results of analyses -----------------------------------------------------------------------------


def _half(state):
    return 0.5 * state


def _driven(state, given):
    return 0.5 * state + given


RNG = np.random.default_rng(3)
WEIGHTS = RNG.normal(size=(12, 12)) / 4
SIGNS = np.resize([1.0, -1.0, -1.0], 12)  # of a direction that a permutation of the entries destroys
CIRCLE = np.stack([np.cos(a := np.linspace(0, 2 * np.pi, 40, endpoint=False)), np.sin(a)], 1)


def _results():
    """Return a result of every kind that a picture is drawn of, of inputs with a known answer."""
    a = RNG.normal(size=30)
    return {
        "LyapunovSpectrum": dynamics.lyapunov_spectrum(_half, np.ones(2), n_steps=50, warm_up=5),
        "ChaosVerdict": dynamics.chaos_verdict([_half] * 3, RNG.normal(size=(3, 2, 2)), 60, 10),
        "TwinDivergence": dynamics.twin_divergence(lambda step: _half, RNG.normal(size=(3, 2)), n_steps=10),
        "EchoState": dynamics.echo_state_test(_driven, np.zeros((20, 2)), RNG.normal(size=(3, 2))),
        "Outliers": dynamics.outliers(WEIGHTS + 3 * np.outer(SIGNS, SIGNS) / 12, n_permutations=200),
        "MemoryCapacity": dynamics.memory_capacity(WEIGHTS / 2, RNG.normal(size=12), 20, 400),
        "TransientGrowth": dynamics.transient_growth(np.array([[0.5, 4.0], [0.0, 0.5]])),
        "Loops": dynamics.loops(CIRCLE),
        "SilentMemory": dynamics.SilentMemory(np.linspace(0.9, 0.5, 8)[None], np.full((1, 8), 0.9)),
        "MeanField": theory.mean_field(1.5),
        "PairedDifference": scoring.paired_difference(a + 1.0, a, np.ones(30)),
    }


@pytest.fixture(scope="module")
def results():
    return _results()


def test_every_result_with_a_picture_is_tested(results):
    drawn = {kind.__name__ for kind in notebook.Drawn.__subclasses__()}
    assert drawn == set(results) and all(type(found).__name__ == name for name, found in results.items())


@pytest.mark.parametrize("name", sorted(kind.__name__ for kind in notebook.Drawn.__subclasses__()))
def test_a_result_is_a_line_a_table_and_a_picture(name, results, tmp_path):
    found = results[name]
    line, said = repr(found), read(found._repr_html_())
    assert line.startswith(f"{name}(") and "\n" not in line and "array(" not in line and len(line) < 400
    fields = [field.name for field in dataclasses.fields(found)]
    assert all(f"{field} " in line for field in fields) and all(field in said for field in fields)
    (ax,) = drawn(found.plot(), tmp_path)
    assert ax.get_xlabel() and (ax.get_lines() or ax.containers)


def test_all_results_of_analyses_are_shown():
    """Every public dataclass of dynamics, theory and scoring has its line and table, with meanings."""
    for module in (dynamics, theory, scoring):
        for name in module.__all__:
            kind = getattr(module, name)
            if not dataclasses.is_dataclass(kind) or name in ("Flow", "FixedPoints"):
                continue
            assert issubclass(kind, notebook.Shown), name
            assert kind.__repr__ is notebook.Shown.__repr__, name
            told = notebook.meanings(kind)
            lost = {field.name for field in dataclasses.fields(kind)} - set(told)
            assert not lost, (name, lost)


def test_pictures_hold_the_numbers(results):
    spectrum = results["LyapunovSpectrum"].plot().axes[0].containers[0].lines[0]
    np.testing.assert_allclose(spectrum.get_ydata(), [np.log(0.5)] * 2, atol=1e-6)
    outliers = results["Outliers"]
    ax = outliers.plot().axes[0]
    assert outliers.is_outlier.sum() == 1 and "1 outlier," in ax.get_title(loc="left")
    circle = ax.get_lines()[0]
    np.testing.assert_allclose(np.hypot(*circle.get_data()), outliers.bulk_radius)
    shown = next(line for line in ax.get_lines() if line.get_marker() == "o")
    assert complex(*(x[0] for x in shown.get_data())) == outliers.eigenvalues[0]
    growth = results["TransientGrowth"]
    peak = growth.plot().axes[0].get_lines()[1]
    assert (peak.get_xdata(), peak.get_ydata()) == ([growth.time], [growth.peak]) and growth.peak > 3
    assert "1 loop of 40 points" in results["Loops"].plot().axes[0].get_title(loc="left")
    mean = results["MeanField"]
    memory = results["MemoryCapacity"]
    assert memory.total > 2 and f"{memory.total:.3g} steps" in memory.plot().axes[0].get_title(loc="left")
    np.testing.assert_array_equal(mean.plot().axes[0].get_lines()[0].get_ydata(), mean.autocorrelation)
    assert "p ≤" in results["PairedDifference"].plot().axes[0].get_title(loc="left")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "unknown"), (True, "yes"), (np.bool_(False), "no"), ("why", "why"), (0.123456, "0.1235"),
        (7, "7"), (np.array([1.0, np.nan]), "[1, nan]"), (np.array([True, False, True]), "2 of 3"),
        (np.array([3 + 4j] * 5), "5 moduli from 5 to 5"), (np.empty((0, 2)), "0x2 numbers"),
        (np.array([[1.0, np.inf]]), "1x2 numbers from 1 to 1, 1 not finite"),
        (np.full((2, 2), np.nan), "2x2 numbers, none finite"), (_half, "_half"), ((2, 3), "[2, 3]"),
    ],
)  # fmt: skip
def test_values_in_few_words(value, words):
    assert notebook.brief(value) == words
