"""Symbol sources against enumeration, closed forms, and what fitted chains reach on them."""

import itertools

import numpy as np
import pytest

from cortseq import models, processes
from cortseq.errors import CortseqError
from cortseq.sources.synthetic import Synthetic

SOURCES = {
    "even": processes.even(),
    "golden_mean": processes.golden_mean(),
    "lag_copy": processes.lag_copy(2, 3, 0.2),
    "parity": processes.parity(3, 0.1),
    "reber": processes.reber(),
    "embedded_reber": processes.embedded_reber(),
}
# H(x_{k+1} | x_1 .. x_k) of the even process in bits, known to five places
EVEN = [0.91830, 0.87419, 0.79248, 0.77043, 0.72957, 0.71855, 0.69812, 0.69261, 0.68239]


def enumerated(moves, length):
    """H(x_1 .. x_length) in bits, by the probability of every word."""
    p = []
    for word in itertools.product(range(len(moves)), repeat=length):
        state = processes.stationary(moves.sum(0))
        for symbol in word:
            state = state @ moves[symbol]
        p.append(state.sum())
    p = np.array([x for x in p if x > 0])
    assert p.sum() == pytest.approx(1)
    return -(p * np.log2(p)).sum()


@pytest.mark.parametrize("name", SOURCES)
def test_block_entropies_equal_enumeration(name):
    length = 8 if len(SOURCES[name]) == 2 else 4
    expected = [enumerated(SOURCES[name], n) for n in range(length + 1)]
    np.testing.assert_allclose(processes.block_entropies(SOURCES[name], length), expected, atol=1e-10)


def test_any_hidden_source_equals_enumeration():
    """Not unifilar: state and symbol leave the next state open."""
    moves = np.random.default_rng(0).dirichlet(np.ones(6), 3).reshape(3, 2, 3).transpose(1, 0, 2)
    expected = [enumerated(moves, n) for n in range(6)]
    np.testing.assert_allclose(processes.block_entropies(moves, 5), expected, atol=1e-10)
    with pytest.raises(CortseqError, match="not unifilar"):
        processes.entropy_rate(moves)


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("even", 2 / 3),
        ("golden_mean", 2 / 3),
        ("lag_copy", -0.9 * np.log2(0.9) - 0.1 * np.log2(0.1)),  # noise 0.2 of two symbols: wrong 0.1
        ("parity", -0.9 * np.log2(0.9) - 0.1 * np.log2(0.1)),
        # expected visits of a Reber string: state 1 once, 2 once, 3 twice, 4 once, 5 once: 6 fair choices,
        # and 8 symbols with B and E; embedded: one choice and four symbols more
        ("reber", 6 / 8),
        ("embedded_reber", 7 / 12),
    ],
)
def test_entropy_rates_by_hand(name, rate):
    assert processes.entropy_rate(SOURCES[name]) == pytest.approx(rate, abs=1e-12)


def test_order_entropies_of_the_even_process():
    np.testing.assert_allclose(processes.order_entropies(SOURCES["even"], 8), EVEN, atol=5e-6)


def test_memory_shows_at_its_order():
    for name in ("lag_copy", "parity"):
        h = processes.order_entropies(SOURCES[name], 4)
        np.testing.assert_allclose(h[:3], 1, atol=1e-12)
        np.testing.assert_allclose(h[3:], processes.entropy_rate(SOURCES[name]), atol=1e-12)


def test_excess_entropies_by_hand():
    """Even: H(2/3); golden mean (order 1): H(x) - h; copies: the 3 bits of the register less 3 h."""
    binary = -2 / 3 * np.log2(2 / 3) - 1 / 3 * np.log2(1 / 3)
    assert processes.excess_entropy(SOURCES["even"]) == pytest.approx(binary, abs=1e-8)
    assert processes.excess_entropy(SOURCES["golden_mean"]) == pytest.approx(binary - 2 / 3, abs=1e-12)
    rate = processes.entropy_rate(SOURCES["lag_copy"])
    assert processes.excess_entropy(SOURCES["lag_copy"], 20) == pytest.approx(3 - 3 * rate, abs=1e-12)
    with pytest.raises(CortseqError, match="not converged"):
        processes.excess_entropy(SOURCES["even"], 10)


@pytest.mark.parametrize(("kind", "shortest"), [("reber", 5), ("embedded_reber", 9)])
def test_reber_strings_obey_the_grammar(kind, shortest):
    raw = Synthetic(kind=kind, trials=50, bins=300).load(None, 1)
    letters = raw.attrs["labels"]
    for row in raw.symbols.values:
        text = "".join(letters[i] for i in row)
        if kind == "reber":
            whole = text[text.index("E") + 1 : text.rindex("E")].split("E")
            assert all(
                s[0] == "B" and s[1] in "TP" and s[-1] in "SV" and len(s) >= shortest - 1 for s in whole
            )
            continue
        ends = [
            i for i in range(2, len(text)) if text[i] == "E" and text[i - 2] == "E" and text[i - 1] in "TP"
        ]
        for a, b in itertools.pairwise(ends):
            assert text[a + 1] == "B" and text[a + 2] == text[b - 1] and b - a >= shortest


LEARNERS = {f"order {k}": (models.Markov(order=k), k) for k in (0, 1, 3)}
LEARNERS |= {s: (models.Markov(order=3, smoothing=s), 3) for s in ("kneser_ney", "jelinek_mercer")}
LEARNERS["additive"] = (models.Markov(order=3, smoothing="additive", alpha=0.01), 3)
LEARNERS["ctw"] = (models.ContextTree(depth=3), 3)


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("kind", ["even", "golden_mean", "reber", "embedded_reber"])
def test_fitted_chains_reach_the_entropy_of_their_order(kind, learner):
    """Once the start symbol has left the context: mean code length = h_k within 3 standard errors."""
    model, order = LEARNERS[learner]
    x = list(Synthetic(kind=kind, trials=120, bins=300).load(None, 5).symbols.values)
    fit = model.fit_sequences(x[:80], n_symbols=len(SOURCES[kind]))
    bits = -np.array([row[order:].mean() for row in fit.log_prob_sequences(x[80:])]) / np.log(2)
    h = processes.order_entropies(SOURCES[kind], order)[order]
    assert abs(bits.mean() - h) < 3 * bits.std(ddof=1) / np.sqrt(len(bits)) + 1e-3


def test_deep_context_trees_approach_the_entropy_rate():
    """Depth 12 on the even process lies between h_12 and h_6: far under what order 4 can do."""
    x = list(Synthetic(kind="even", trials=120, bins=300).load(None, 5).symbols.values)
    fit = models.ContextTree(depth=12).fit_sequences(x[:80], n_symbols=2)
    bits = -np.concatenate([row[12:] for row in fit.log_prob_sequences(x[80:])]).mean() / np.log(2)
    h = processes.order_entropies(SOURCES["even"], 12)
    assert h[12] - 0.005 < bits < h[6]
