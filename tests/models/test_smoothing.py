"""Smoothings against arithmetic on paper, and the context tree against the sum over all prunings."""

import itertools

import numpy as np
import pytest
from families import choices
from scipy.optimize import minimize
from scipy.special import gammaln, logsumexp

from cortseq import models
from cortseq import recording as rec
from cortseq.models.chains import chain, smoothing

SMOOTHINGS = choices(models.Markov, "smoothing")


def table_of(sequences, m, order):
    both = rec.from_symbols(sequences, n_symbols=m)
    return chain.count(both["symbols"].values, both["valid"].values, m, order)


def after(table, m, history):
    """P(label | history) of a smoothed table."""
    labels = np.array([[*history, 0]])
    model = chain.Chain(table, m)
    return model.rows(model.contexts(labels, np.ones(labels.shape, bool)))[0, -1]


def test_jelinek_mercer_by_hand():
    """a b a b b, weights 1/2 and 3/4: order 0 is (1/2)(2/5, 3/5) + 1/4; b was followed by a once, by b once."""
    table = smoothing.jelinek_mercer(table_of([np.array([0, 1, 0, 1, 1])], 2, 1), 2, np.array([0.5, 0.75]))
    order0 = 0.5 * np.array([2 / 5, 3 / 5]) + 0.5 * 0.5
    np.testing.assert_allclose(after(table, 2, [0]), 0.75 * np.array([0, 1]) + 0.25 * order0)
    np.testing.assert_allclose(after(table, 2, [0, 1]), 0.75 * np.array([0.5, 0.5]) + 0.25 * order0)


def test_held_out_weights_maximise_the_held_out_likelihood():
    """EM against a general optimiser; the pseudo-bin of each level is a factor 1 - l."""
    rng = np.random.default_rng(0)
    table = table_of([rng.choice(3, 40, p=[0.7, 0.2, 0.1]), np.arange(30) % 3], 3, 1)
    labels = np.array([np.where(rng.random(200) < 0.7, np.arange(200) % 3, rng.random(200) < 0.2)])
    valid = np.ones(labels.shape, bool)
    paths = chain.paths(table, labels, valid, 3)[:, valid]
    found = smoothing.held_out_weights(table, 3, paths, np.eye(3)[labels[valid]])

    def cost(weights):
        model = chain.Chain(smoothing.jelinek_mercer(table, 3, weights), 3)
        p = model.rows(model.contexts(labels, valid))[0, np.arange(200), labels[0]]
        return -np.log(p).sum() - np.log(1 - weights).sum()

    best = minimize(cost, [0.5, 0.5], bounds=[(1e-6, 1 - 1e-6)] * 2)
    np.testing.assert_allclose(found, best.x, atol=0.03)
    assert cost(found) < best.fun + 0.01 and 0.05 < found.min() < found.max() < 0.95


def test_deleted_weights_leave_each_label_out_of_its_counts():
    """a a a b, order 0: left out, a is 2/3 (three times) and b is 0: l/6 grows of (2l/3 + (1-l)/2)^3 (1-l)^2.

    (1-l)^2 is b and the pseudo-bin. Derivative: 3 (1/6) / (1/2 + l/6) = 2 / (1 - l), so l = -3/5 < 0: l = 0.
    With 30 times a and one b: a is 29/30, and 30 (29/30 - 1/2) (1 - l) = 2 (1/2 + (29/30 - 1/2) l).
    """
    for n_a, expected in ((3, 0.0), (30, (14.0 - 1.0) / (14.0 + 14.0 / 15.0))):
        x = np.array([0] * n_a + [1])
        table = table_of([x], 2, 0)
        weights = smoothing.deleted_weights(table, 2, np.zeros((1, len(x)), int), x)
        assert weights[0] == pytest.approx(expected, abs=0.02)


# a Kneser-Ney table with every count-of-counts at order 1: rows are contexts, columns followers
PAIRS = {(0, 1): 1, (0, 2): 1, (1, 2): 2, (2, 0): 3, (1, 0): 4, (2, 1): 1, (0, 0): 1, (1, 1): 2}


def test_discounts_by_hand():
    """n_1 = 4, n_2 = 2, n_3 = 1, n_4 = 1: Y = 4/8, D1 = 1 - 2 Y 2/4, D2 = 2 - 3 Y 1/2, D3+ = 3 - 4 Y 1/1."""
    found = smoothing._discounts(np.array(sorted(PAIRS.values())))
    np.testing.assert_allclose(found, [0.5, 1.25, 1.0])


def test_kneser_ney_by_hand():
    """Two-label trials "a b": order 1 has the counts of PAIRS and those after the start symbol.

    After the start: a 3, b 8, c 4 (how often each begins a trial). Cells of order 1: counts
    1 1 2 3 4 1 1 2 and 3 8 4, so n_1 = 4, n_2 = 2, n_3 = 2, n_4 = 2: Y = 1/2, D1 = 1/2, D2 = 2 - 3 (1/2) 1 = 1/2,
    D3+ = 3 - 4 (1/2) 1 = 1. Order 0: distinct labels before a: {a, b, c, start} 4; b: 4; c: {a, b, start} 3:
    n_1 = 0, so Witten-Bell on the plain counts a 3 + 8, b 8 + 4, c 4 + 3 of 30: (c + 3/3) / 33.
    """
    trials = [np.array(pair) for pair, n in PAIRS.items() for _ in range(n)]
    table, card = smoothing.kneser_ney(table_of(trials, 3, 1), 3)
    assert card == {"discounts": {"1": [0.5, 0.5, 1.0]}, "witten_bell_levels": [0]}
    order0 = np.array([12, 13, 8]) / 33
    # after a: 1 1 1 of 3; after b: 4 2 2 of 8; after c: 3 1 of 4; each D goes to order 0
    np.testing.assert_allclose(after(table, 3, [0]), np.array([0.5, 0.5, 0.5]) / 3 + 1.5 / 3 * order0)
    np.testing.assert_allclose(after(table, 3, [1]), np.array([3, 1.5, 1.5]) / 8 + 2.0 / 8 * order0)
    np.testing.assert_allclose(after(table, 3, [2]), np.array([2, 0.5, 0]) / 4 + 1.5 / 4 * order0)
    np.testing.assert_allclose(after(table, 3, []), np.array([2, 7, 3]) / 15 + 3 / 15 * order0)


def test_continuations_count_distinct_labels_before_a_cell():
    """x b y: "b y" after a (twice), after c and at the start; the start alone is counted in full."""
    table = table_of([np.array(s) for s in ([0, 1, 3], [0, 1, 3], [2, 1, 3], [1, 3], [1, 3])], 4, 2)
    order1 = chain.cells(table, 1, 4)
    found = {}
    for context, follower, c in zip(order1[0], order1[1], smoothing._continuations(table, 1, 4), strict=True):
        found[int(table["keys1"][context]), int(follower)] = int(c)
    assert found == {(0, 1): 1, (1, 3): 3, (2, 1): 1, (4, 0): 2, (4, 2): 1, (4, 1): 2}
    assert smoothing._continuations(table, 0, 4).tolist() == [
        1,
        3,
        1,
        1,
    ]  # a; b after a, c, start; c; y after b


def test_kneser_ney_falls_back_where_counts_of_counts_are_degenerate():
    x = [np.array([0, 1, 0, 1, 1])]
    fit = models.Markov(order=2, smoothing="kneser_ney").fit_sequences(x, n_symbols=2)
    assert fit.card["witten_bell_levels"] == [0, 1, 2] and not fit.card["discounts"]
    plain = models.Markov(order=2).fit_sequences(x, n_symbols=2)
    assert np.array_equal(fit.log_prob_sequences(x)[0], plain.log_prob_sequences(x)[0])


@pytest.mark.parametrize("name", [*SMOOTHINGS, "ctw"])
@pytest.mark.parametrize("order", [0, 1, 3, 8])
def test_labels_sum_to_one_after_every_context(name, order):
    rng = np.random.default_rng(order)
    sequences = [rng.choice(6, p=[0.4, 0.3, 0.1, 0.1, 0.1, 0.0], size=n) for n in (300, 1, 50, 200)]
    if name == "ctw":
        model = models.ContextTree(depth=order)
    else:
        model = models.Markov(order=order, smoothing=name)
    fit = model.fit_sequences(sequences, n_symbols=6, valid=[rng.integers(0, 6, 100)])
    p = fit.predict(rec.from_symbols([rng.integers(0, 6, 200), np.zeros(30, int)], n_symbols=6)).values[0]
    seen = np.isfinite(p[..., 0])
    np.testing.assert_allclose(p[seen].sum(-1), 1, atol=1e-12)
    assert p[seen].min() > 0


def test_one_symbol_alone():
    for model in (models.ContextTree(depth=3), *(models.Markov(order=2, smoothing=s) for s in SMOOTHINGS)):
        fit = model.fit_sequences([np.zeros(5, int)], n_symbols=1)
        np.testing.assert_allclose(fit.log_prob_sequences([np.zeros(4, int)])[0], 0, atol=1e-12)


# -------------------------------------------------------------------------------- context trees


def prunings(depth, branches):
    """Every tree as {}: a leaf, or {branch: tree}."""
    yield {}
    if depth:
        below = list(prunings(depth - 1, branches))
        for children in itertools.product(below, repeat=branches):
            yield dict(enumerate(children))


def leaf_of(tree, history, start):
    path = []
    while tree:
        path.append(history[-1 - len(path)] if len(path) < len(history) else start)
        tree = tree[path[-1]]
    return tuple(path)


def log_prior(tree, depth):
    """1/2 for every node that could be split: its being a leaf, or not."""
    return (depth > 0) * np.log(0.5) + sum(log_prior(child, depth - 1) for child in tree.values())


def log_kt(n):
    n, m = np.asarray(n, float), len(n)
    return (gammaln(n + 0.5) - gammaln(0.5)).sum() + gammaln(m / 2) - gammaln(n.sum() + m / 2)


@pytest.mark.parametrize(("m", "depth", "size"), [(2, 2, 40), (3, 1, 60), (2, 1, 15), (1, 2, 5)])
def test_context_tree_equals_the_mixture_over_all_prunings(m, depth, size):
    rng = np.random.default_rng(size)
    train = [rng.integers(0, m, size), rng.integers(0, m, size // 2)]
    test = rng.integers(0, m, 12)
    fit = models.ContextTree(depth=depth).fit_sequences(train, n_symbols=m)
    weights, predictions = [], []
    for tree in prunings(depth, m + 1):
        counts = {}
        for s in train:
            for t, w in enumerate(s):
                counts.setdefault(leaf_of(tree, list(s[:t]), m), np.zeros(m))[w] += 1
        weights.append(log_prior(tree, depth) + sum(log_kt(c) for c in counts.values()))
        rows = [counts.get(leaf_of(tree, list(test[:t]), m), np.zeros(m)) for t in range(len(test))]
        predictions.append([(c[w] + 0.5) / (c.sum() + m / 2) for c, w in zip(rows, test, strict=True)])
    total = logsumexp(weights)
    expected = np.log(np.exp(np.array(weights) - total) @ np.array(predictions))
    np.testing.assert_allclose(fit.log_prob_sequences([test])[0], expected, atol=1e-10)
    assert fit.card["log_evidence"] == pytest.approx(total, abs=1e-9)


class Node:
    """A node of sequential binary context-tree weighting (Willems, Shtarkov & Tjalkens 1995, section V)."""

    def __init__(self):
        self.n, self.children, self.log_kt, self.log_weighted = [0, 0], {}, 0.0, 0.0

    def update(self, context, symbol):
        self.log_kt += np.log((self.n[symbol] + 0.5) / (sum(self.n) + 1))
        self.n[symbol] += 1
        if not context:
            self.log_weighted = self.log_kt
            return
        self.children.setdefault(context[0], Node()).update(context[1:], symbol)
        below = sum(child.log_weighted for child in self.children.values())
        self.log_weighted = np.logaddexp(self.log_kt, below) - np.log(2)


def test_context_tree_equals_the_sequential_recursion():
    """Code length of the training labels, and the probability of one more: the ratio of two of them."""
    x = np.random.default_rng(3).integers(0, 2, 200) | (np.arange(200) % 3 == 0)
    root, depth = Node(), 5
    for t, symbol in enumerate(x):
        root.update([x[t - i] if t >= i else 2 for i in range(1, depth + 1)], symbol)
    fit = models.ContextTree(depth=depth).fit_sequences([x], n_symbols=2)
    before = root.log_weighted
    assert fit.card["log_evidence"] == pytest.approx(before, abs=1e-9)
    p = np.exp(fit.log_prob_sequences([np.append(x, 1)])[0][-1])
    root.update(list(x[:-6:-1]), 1)
    assert p == pytest.approx(np.exp(root.log_weighted - before), rel=1e-10)


def test_order_of_test_trials_does_not_matter():
    x = [np.array([0, 1, 1, 0, 1]), np.array([1, 1, 1])]
    fit = models.ContextTree(depth=3).fit_sequences([np.array([0, 1, 1, 0, 1, 1, 0])], n_symbols=2)
    forwards, backwards = fit.log_prob_sequences(x), fit.log_prob_sequences(x[::-1])
    assert np.array_equal(forwards[0], backwards[1]) and np.array_equal(forwards[1], backwards[0])
