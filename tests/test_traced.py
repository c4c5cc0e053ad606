"""Functions of small tensors that are recorded where they are called often."""

import pytest
import torch

from cortseq import traced


def test_a_recording_gives_the_numbers_of_its_function():
    """States of two shapes, each new at every call, before the recording and after it."""
    calls = []

    def step(state, weight):
        calls.append(state.shape)
        return torch.tanh(state @ weight), state.sum(-1)

    recorded, weight = traced.traced(step), torch.randn(3, 3, dtype=torch.float64)
    with torch.no_grad():
        for shape in ((3,), (2, 3)):
            for _ in range(2 * traced._REPEATED):
                state = torch.randn(*shape, dtype=torch.float64)
                new, total = recorded(state, weight)
                assert torch.equal(new, torch.tanh(state @ weight))
                assert torch.equal(total, state.sum(-1))
    assert len(calls) == 2 * traced._REPEATED  # the last of each shape is the recording


def test_what_is_differentiated_is_not_recorded():
    """With gradients the function itself is called, however often."""
    calls = []

    def square(x):
        calls.append(0)
        return x**2

    recorded, x = traced.traced(square), torch.tensor([3.0], requires_grad=True)
    for _ in range(2 * traced._REPEATED):
        assert torch.autograd.grad(recorded(x).sum(), x)[0].item() == pytest.approx(6.0)
    assert len(calls) == 2 * traced._REPEATED


def test_what_torch_cannot_record_is_called_itself():
    """A parameter with a gradient cannot be a constant of a recording."""
    weight = torch.ones(2, requires_grad=True)
    recorded = traced.traced(lambda x: x * weight)
    with torch.no_grad():
        for i in range(2 * traced._REPEATED):
            assert recorded(torch.full((2,), float(i))).tolist() == [i, i]


def test_a_cell_from_outside_is_called_itself():
    """It may branch on a value, and a recording would keep the branch that its first state took."""

    class Cell:
        def step(self, x):
            return 2 * x if bool(x.sum() > 0) else -x

    cell = Cell()
    step = traced.traced(cell.step, of=cell)
    with torch.no_grad():
        for _ in range(2 * traced._REPEATED):
            assert step(torch.tensor([1.0])).tolist() == [2.0]
            assert step(torch.tensor([-1.0])).tolist() == [1.0]
