"""What a CUDA device runs, checked on a CPU: the recorded engine runs here as it is, step by step."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cortseq.networks.network import _affine


class Largest(TorchDispatchMode):
    """Notes the most numbers that one result of an operation holds; views of what is there count too."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, operation, types, given=(), named=None):
        result = operation(*given, **(named or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return result


def test_a_matrix_of_each_member_is_not_copied_for_every_trial():
    """Three members, 7 trials, 2 bins: neither the product nor its gradient holds 7 times the matrices."""
    random = torch.Generator().manual_seed(0)
    weight, bias, x = (
        torch.randn(shape, generator=random, dtype=torch.float64, requires_grad=True)
        for shape in ((3, 20, 30), (3, 20), (3, 7, 2, 30))
    )
    with Largest() as largest:
        y = _affine(weight, bias, x)
        y.square().sum().backward()
    assert largest.numbers == weight.numel()
    plain = torch.einsum("mij,mbtj->mbti", weight, x) + bias[:, None, None]
    assert torch.allclose(y, plain, rtol=0, atol=1e-13)
