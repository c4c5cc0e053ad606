"""A constant leak on one flat state: what a flow steps."""

import pytest
import torch
from families import small, trained
from untrained import untrained

from cortseq import models


@pytest.mark.parametrize("leak", [0.3, 1.0, "learned"])
@pytest.mark.parametrize("family", [f for f in trained() if "leak" in models.registry()[f].model_fields])
def test_flows_take_one_state_and_many(family, leak, any_recording):
    model = small(family, hidden=8, leak=leak)
    flow = untrained(model, any_recording).flow(0, "closed")
    states = torch.rand(4, flow.dim, dtype=torch.float64)
    torch.testing.assert_close(flow(states), torch.stack([flow(s) for s in states]), rtol=1e-12, atol=1e-12)
