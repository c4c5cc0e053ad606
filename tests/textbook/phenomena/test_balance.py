"""Spectra, stability and balanced networks: known answers, and every check of the phenomenon."""

import numpy as np
import pytest

from cortseq import checks
from cortseq.dynamics.structure import structure
from cortseq.errors import CortseqError
from cortseq.textbook.figures import balance as figure
from cortseq.textbook.phenomena import balance
from cortseq.theory import balanced

SMALL = dict(
    units=300, overlaps=(0.0, 1.0, 2.0, 3.0), draws=2, cases=30, population=1500, inputs=(25, 50, 100, 200),
    drives=(0.5, 0.6), sweeps=120, cycles=15,
)  # fmt: skip


@pytest.fixture(scope="module")
def found():
    return balance.measure(0, lambda *_: None, **SMALL)


def test_every_check_holds(found):
    table = checks.table(found)
    assert table["holds"].all(), table[~table["holds"]].to_string()
    assert {"C32", "C33", "C34", "C35", "C51", "C52"} <= set(table["row"])


def test_draws_what_it_found(found):
    _, table = figure.draw(found)
    rows = table[(table.panel == "tracking") & (table.kind == "measured")]
    assert np.array_equal(rows.y, found["lag"].values)
    assert table.panel.nunique() == 8


def test_seeds_reproduce():
    rng = lambda seed: np.random.default_rng(seed)  # noqa: E731
    first, second = (balance.dale_matrix(50, rng(1), True)[0] for _ in range(2))
    assert np.array_equal(first, second)
    assert np.abs(first.sum(1)).max() < 1e-12 and ((first[:, :40] >= 0).all() and (first[:, 40:] <= 0).all())


def test_rank_one_parts_have_their_overlap():
    for overlap in (0.0, 2.0, -1.0):
        left, right = balance.rank_one(30, overlap, np.random.default_rng(0))
        assert right @ left == pytest.approx(overlap, abs=1e-12)
        assert np.linalg.norm(left) * np.linalg.norm(right) == pytest.approx(4)


def test_balanced_rates_of_the_paper():
    """van Vreeswijk & Sompolinsky 1998, eq. 4.3-4.4: m_E = (J_I E - J_E I) / (J_E - J_I) m_0 with J_kE = 1."""
    je, ji, e, i, m0 = 2.0, 1.8, 1.0, 0.8, 0.1
    m = balanced.balanced_rates([[1, -je], [1, -ji]], m0 * np.array([e, i]))
    assert m == pytest.approx(m0 * np.array([ji * e - je * i, e - i]) / (je - ji))
    with pytest.raises(CortseqError, match="balance"):
        balanced.balanced_rates([[1, -je], [1, -ji]], [0.5, 0.5])


def test_finite_states_approach_the_limit_as_one_over_root_k():
    limit = balanced.balanced_rates(balance.STRENGTHS, 0.5 * np.array(balance.EXTERNAL))
    gaps = [np.abs(balance.network(0.5, k).rates - limit).max() for k in (10_000, 1_000_000)]
    assert gaps[0] / gaps[1] == pytest.approx(10, rel=0.05)
    small, large = (balance.network(0.5, k) for k in (10_000, 40_000))
    assert small.index / large.index == pytest.approx([2, 2], rel=0.02)
    lags = [balanced.balanced_lag(s, 8.0) for s in (small, large)]
    assert lags[0] / lags[1] == pytest.approx(2, rel=0.1)
    assert (balanced.balanced_eigenvalues(small).real < 0).all()


def test_binary_units_without_partners_follow_their_threshold():
    """Periodic updates: after one sweep every unit shows whether its input is above threshold."""
    from cortseq.theory import binary

    partner = binary.partners(10, 2, 4, np.random.default_rng(0))
    assert all(len(set(row)) == 4 for unit in partner for row in unit)
    drive = np.array([[1.0, 0.0], [0.0, 1.0]])
    states = binary.simulate(partner, np.zeros((2, 2)), drive, (0.5, 0.5), np.zeros(20), 20, 0, False)
    assert np.array_equal(states, np.repeat(drive, 10, 1))


def test_structure_is_taken_apart():
    rng = np.random.default_rng(0)
    n = 200
    signs = np.where(np.arange(n) < 150, 1, -1)
    noise = rng.normal(size=(n, n)) / np.sqrt(n)
    low = np.outer(*balance.rank_one(n, 1.0, rng))
    found = structure(noise + 0.1 * signs + low, signs)
    assert found.rank == 1 and found.p_value > 0.01
    assert np.allclose(found.block + found.low_rank + found.residual, noise + 0.1 * signs + low)
    assert np.abs(found.block - 0.1 * signs).max() < 0.01
    assert structure(noise).rank == 0
    alike = structure(np.diag(np.linspace(-1, 1, n)))
    assert alike.p_value < 0.01 or alike.rank > 0
