"""The diagonal recurrence: equal to the plain loop, with its gradients, on every path there is."""

import numpy as np
import pytest
import torch

from cortseq.networks.scan import doubling, scan

DTYPES = [torch.float64, torch.complex128]
MEMBERS, TRIALS, SIZE = 2, 3, 4


def loop(a, x, start):
    """The definition, one bin after the other."""
    a = a if a.ndim == x.ndim else a[..., None, None, :].expand(x.shape)
    states = [start]
    for t in range(x.shape[-2]):
        states.append(a[..., t, :] * states[-1] + x[..., t, :])
    return torch.stack(states, -2)


def problem(dtype, constant, members=False, n_time=7, seed=0):
    """Factors inside the unit circle, what is added, the start: tensors that require a gradient."""
    random = torch.Generator().manual_seed(seed)
    outer = (MEMBERS,) if members else ()
    shapes = (
        (*outer, SIZE) if constant else (*outer, TRIALS, n_time, SIZE),
        (*outer, TRIALS, n_time, SIZE),
        (*outer, TRIALS, SIZE),
    )
    a, x, start = (torch.randn(shape, dtype=dtype, generator=random) for shape in shapes)
    return tuple(tensor.requires_grad_() for tensor in ((a / (1 + a.abs())).detach(), x, start))


def gradients(function, problem, weight):
    """The states and the derivatives of their weighted sum."""
    states = function(*problem)
    loss = (states * weight[: states.shape[-2]]).sum()
    return states, torch.autograd.grad(loss.real, problem)


@pytest.mark.parametrize("members", [False, True])
@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64, *DTYPES])
@pytest.mark.parametrize("n_time", [1, 2, 7, 8])
def test_both_paths_equal_the_loop(dtype, constant, members, n_time):
    given = problem(dtype, constant, members, n_time)
    weight = torch.randn(9, SIZE, dtype=dtype, generator=torch.Generator().manual_seed(1))
    tolerance = 1e-5 if dtype in (torch.float32, torch.complex64) else 1e-12
    states, slopes = gradients(loop, given, weight)
    for function in (scan, lambda a, x, s: doubling(a if a.ndim == x.ndim else a[..., None, None, :], x, s)):
        found = gradients(function, given, weight)
        assert found[0].shape == (*given[1].shape[:-2], n_time + 1, SIZE)
        assert torch.allclose(found[0], states, rtol=tolerance, atol=tolerance)
        for slope, expected in zip(found[1], slopes, strict=True):
            assert torch.allclose(slope, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_derivatives_of_first_and_second_order(dtype, constant):
    """Against finite differences."""
    given = problem(dtype, constant, n_time=4)
    assert torch.autograd.gradcheck(scan, given)
    assert torch.autograd.gradgradcheck(scan, given)


@pytest.mark.parametrize("constant", [True, False])
def test_members_together_are_members_alone(constant):
    a, x, start = problem(torch.complex128, constant, members=True)
    together = scan(a, x, start)
    alone = torch.stack([scan(a[m], x[m], start[m]) for m in range(MEMBERS)])
    assert torch.equal(together, alone)


@pytest.mark.parametrize("constant", [True, False])
def test_a_batch_by_vmap_is_one_after_the_other(constant):
    """Some arguments have the axis of the batch, others not."""
    a, x, start = (tensor.detach() for tensor in problem(torch.float64, constant, members=True))
    for axes in ((0, 0, 0), (None, 0, 0), (0, None, None)):
        given = [
            tensor if axis is not None else tensor[0]
            for tensor, axis in zip((a, x, start), axes, strict=True)
        ]
        batched = torch.func.vmap(scan, in_dims=axes)(*given)
        each = [
            scan(
                *(tensor[m] if axis is not None else tensor for tensor, axis in zip(given, axes, strict=True))
            )
            for m in range(MEMBERS)
        ]
        assert torch.allclose(batched, torch.stack(each), rtol=1e-12, atol=1e-12)


def test_the_jacobian_by_vmap_of_the_gradient():
    """`torch.func.jacrev` differentiates a batch of weighted sums: its rows are those of autograd."""
    a, x, start = (tensor.detach() for tensor in problem(torch.float64, True, n_time=3))
    found = torch.func.jacrev(lambda start: scan(a, x, start))(start)
    # d s_t / d s_0 is a^t of the same trial and number
    powers = torch.stack([a**t for t in range(4)])
    expected = torch.zeros(TRIALS, 4, SIZE, TRIALS, SIZE, dtype=torch.float64)
    for trial in range(TRIALS):
        for i in range(SIZE):
            expected[trial, :, i, trial, i] = powers[:, i]
    assert torch.allclose(found, expected, atol=1e-12)


def test_a_geometric_sum():
    """Constant input: s_t = a^t s_0 + x (1 - a^t) / (1 - a)."""
    a = torch.tensor([0.5, -0.3 + 0.8j, 0.999], dtype=torch.complex128)
    x = torch.tensor([1.0, 2.0 - 1j, 0.01], dtype=torch.complex128).expand(1, 200, 3)
    start = torch.tensor([[3.0, 1j, -1.0]], dtype=torch.complex128)
    powers = a ** torch.arange(201)[:, None]
    expected = powers * start + x[0, :1] * (1 - powers) / (1 - a)
    assert np.allclose(scan(a, x, start)[0], expected, rtol=1e-12, atol=1e-12)
