"""Amounts of arithmetic of the steps: they grow with the sizes, and know the sizes of what they describe."""

import dataclasses

import numpy as np
import pytest
from families import applicable, flowing

from cortseq import costs, models, recording
from cortseq.data import Data
from cortseq.dynamics import analyse
from cortseq.models.work import Size
from cortseq.observations import TRACKS
from cortseq.scoring import cosmoothing, generation, probes, tasks
from cortseq.stages import tasks as stages
from cortseq.stages import work

SIZE = Size("counts", train=60, valid=20, bins=50, features=10, members=2, test=20)
FORECAST = ([1, 2, 5], 8, 128, 16384)


def of(model, size: Size) -> dict[str, costs.Cost]:
    """Costs of every step of a model."""
    found = {
        "score": work.score(model, size),
        "forecasts": work.forecasts(model, size, *FORECAST),
        "generation": work.generation(model, size),
        "ceilings": work.ceilings(model, size),
        "quality": work.quality([model], size),
        "audit": work.audit(3, [model], size, lambda m, s: costs.seconds(m, s)),
    }
    if model.has_flow:
        found |= {"memory": work.memory(model, size), "dynamics": work.examined(model, size, size.members)}
    return found


def seconds(cost: costs.Cost) -> float:
    return sum(costs.of_step(cost).values())


@pytest.mark.parametrize("track", TRACKS)
@pytest.mark.parametrize("family", sorted(models.registry()))
def test_no_step_is_cheaper_on_a_larger_recording(family, track):
    model, size = applicable(family, track), dataclasses.replace(SIZE, track=track)
    least = of(model, size)
    assert all(0 < seconds(cost) < 600 for cost in least.values())
    for key in ("train", "test", "bins", "features", "members"):
        more = of(model, dataclasses.replace(size, **{key: 4 * getattr(size, key)}))
        assert all(seconds(more[step]) >= seconds(cost) for step, cost in least.items()), key


def test_amounts_of_a_network():
    rate = models.Rate(hidden=8)
    assert work.score(rate, SIZE) == {
        "score/network": {"step": 1.0, "cell": 2 * 100 * 50 * 10, "product": 2 * 100 * 50 * 8 * 18}
    }
    (found,) = work.memory(rate, SIZE).values()
    assert found["unit"] == 2 * 20 * 50 * sum(tasks.MEMORIES) * 8
    (found,) = work.examined(rate, SIZE, 3).values()
    assert found["member"] == 3 and found["driven"] == 3 * 20 * 50 * 8
    assert found["point"] == 3 * 128 * 8**3


@pytest.mark.parametrize(("most", "doublings"), [(128, 0), (256, 1), (16384, 7)])
def test_half_of_the_doublings_of_futures_are_counted(most, doublings):
    (found,) = work.forecasts(models.Rate(hidden=8), SIZE, [1, 20, 30], 8, 128, most).values()
    drawn = 128 * (1 + sum(0.5 * 2 ** (k / 4 - 1) for k in range(1, doublings + 1)))
    assert found["draw"] == pytest.approx(2 * 8 * 50 * 20 * 10 * drawn)  # 30 is beyond half a trial


def test_sizes_are_those_of_the_modules_that_have_them():
    assert work._RECALLED == sum(tasks.MEMORIES)
    assert work._SIMULATED == generation.MAX_TRIALS
    assert work._DISSECTED == analyse.MAX_TRIALS
    assert work._NOISE["train"] == probes.CANARY_TRIALS // 2 and work._NOISE["bins"] == probes.CANARY_BINS
    assert work._CANARY_UNITS == probes.CANARY_UNITS and work._CANARY_EPOCHS == probes.CANARY_EPOCHS
    assert work._DRAWN["train"] == probes.SURROGATE_TRIALS // 2
    assert work._DRAWN["bins"] == probes.SURROGATE_BINS
    assert work._SURROGATE_EPOCHS == probes.SURROGATE_EPOCHS
    assert stages.STATES == cosmoothing.HMM_STATES


@pytest.mark.parametrize("family", flowing())
def test_a_cell_says_how_large_its_state_is(family):
    counts = np.random.default_rng(0).poisson(0.5, (6, 8, 3))
    data = Data.of(recording.from_counts(counts, bin_width=0.02))
    model = models.registry()[family].small()
    params = model.initial(data, 1, 0)
    shape = {"track": "counts", "n_features": 3, "observation": "poisson", "support": data.support}
    assert model.member(params, shape | {"n_inputs": 0}, 0).dim == model.state_parts * model.hidden
