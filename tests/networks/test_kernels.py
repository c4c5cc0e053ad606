"""Compiled products against numpy: every shape of edge, both precisions."""

import families
import numpy as np
import pytest
from numba.core.errors import TypingError

from cortseq import models
from cortseq import recording as rec
from cortseq.compiled import matrix, projection
from cortseq.compiled.vectors import aligned, lanes
from cortseq.data import Data
from cortseq.networks.training.engines import compiled, loss_and_gradient

KINDS = [(np.float32, 1e-5), (np.float64, 1e-13)]


def normal(rng, dtype, *shape):
    return rng.normal(size=shape).astype(dtype)


@pytest.mark.parametrize("dtype, tolerance", KINDS)
def test_products(dtype, tolerance):
    """Rows and columns below, at and beyond the four rows and one vector that are summed up together."""
    rng, width = np.random.default_rng(0), lanes(np.dtype(dtype).itemsize)
    for m, k, n in [
        (1, 1, 1),
        (4, 3, width),
        (7, 70, width + 1),
        (9, 5, 3 * width - 1),
        (3, 0, 5),
        (0, 4, 2),
    ]:
        a, b, c = normal(rng, dtype, m, k), normal(rng, dtype, k, n), normal(rng, dtype, m, n)
        panels, out = matrix.packed(b), np.full((m + 1, n), 7, dtype)
        np.testing.assert_array_equal(matrix.unpacked(panels, n), b)
        matrix.multiply(a, panels, out[:m])
        np.testing.assert_allclose(out[:m], a @ b, rtol=0, atol=tolerance * (k + 1))
        assert (out[m] == 7).all()  # nothing is written beyond the last row
        total = normal(rng, dtype, k, n)
        wanted = total + a.T @ c
        matrix.add_transposed(total, a, c)
        np.testing.assert_allclose(total, wanted, rtol=0, atol=tolerance * (m + 1))
        sums = np.zeros(n, dtype)
        matrix.add_rows(sums, c)
        np.testing.assert_allclose(sums, c.sum(0), rtol=0, atol=tolerance * (m + 1))


@pytest.mark.parametrize("dtype, tolerance", KINDS)
@pytest.mark.parametrize("cut", [0, 20000])
def test_sparse_products(cut, dtype, tolerance):
    """Events of a batch of trials, with and without dropout, against dense products."""
    rng, first = np.random.default_rng(1), 2
    counts = rng.poisson(0.4, (5, 9, 11))
    data = Data.of(rec.from_counts(counts, bin_width=0.02))
    events, trials = compiled.Events.of(data, np.dtype(dtype)), np.array([3, 0, 4])
    words, scale = rng.integers(0, 65536, (3, 9, 11)).astype(np.uint16), np.dtype(dtype).type(1.5)
    x = (
        counts[trials, first:7] * np.where(words[:, first:7] >= cut, 1.5, 0)
        if cut
        else counts[trials, first:7]
    )
    x = x.swapaxes(0, 1).astype(dtype)
    given = (events.indptr, events.unit, events.value, trials * 9, first, words, cut, scale)
    columns, bias, z = normal(rng, dtype, 11, 70), normal(rng, dtype, 70), np.empty((5, 3, 70), dtype)
    projection.project(*given, matrix.packed(columns), bias, z)
    np.testing.assert_allclose(z, x @ columns + bias, rtol=0, atol=20 * tolerance)
    d_panels = matrix.packed(columns)
    projection.project_gradient(*given, z, d_panels)
    wanted = columns + x.reshape(-1, 11).T @ z.reshape(-1, 70)
    np.testing.assert_allclose(matrix.unpacked(d_panels, 70), wanted, rtol=0, atol=400 * tolerance)


def test_only_contiguous_arrays():
    a = np.zeros((4, 4))
    with pytest.raises(TypingError, match="C-contiguous"):
        matrix.add_transposed(a, a, a.T)


def test_vectors_begin_with_a_cache_line():
    for shape in [(1,), (3, 5), (2, 7, 11)]:
        array = aligned(shape, np.float32)
        assert array.shape == shape and array.flags.c_contiguous and array.ctypes.data % 64 == 0


@pytest.mark.parametrize("family", families.compiled())
def test_blocks_of_bins_change_nothing(family, counts, monkeypatch):
    """One block, and blocks of one, two and three bins."""
    data, model = Data.of(counts), models.registry()[family](hidden=6)
    params = {name: value[0] for name, value in model.initial(data, 1, 0, np.float64).items()}
    whole = loss_and_gradient(model, params, data, "compiled")
    for bins in (1, 2, 3):
        monkeypatch.setattr(compiled, "BLOCK", bins * len(data.y) * max(6, data.n_features))
        loss, gradients = loss_and_gradient(model, params, data, "compiled")
        assert loss == pytest.approx(whole[0], rel=1e-12)
        for name, gradient in gradients.items():
            np.testing.assert_allclose(gradient, whole[1][name], rtol=0, atol=1e-10, err_msg=name)
