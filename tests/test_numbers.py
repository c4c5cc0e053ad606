"""Numbers and lists of verdicts as a reader sees them."""

import math

import pytest

from cortseq import numbers, verdicts


@pytest.mark.parametrize(
    ("value", "low", "high", "said"),
    [
        (1.1, 1.087, 1.1134, "1.100 [1.087, 1.113]"),
        (4.5e-5, -9.99e-5, 1.9e-4, "0.00005 [-0.00010, 0.00019]"),
        (138.32, 90.281, 186.358, "138 [90, 186]"),
        (0.0, 0.0, 0.0, "0 [0, 0]"),
        (-1e-9, -2e-8, 1e-8, "0.000000 [0.000000, 0.000000]"),
    ],
)
def test_a_value_and_its_interval_have_the_decimals_of_its_width(value, low, high, said):
    places = numbers.decimals(low, high)
    assert f"{numbers.written(value, places)} {numbers.interval(low, high, places)}" == said


def test_without_an_interval_the_spread_decides_or_three_decimals_are_shown():
    nan = math.nan
    assert numbers.decimals(nan, nan, 1.4) == 1 and numbers.decimals(nan, nan) == 3
    assert numbers.decimals(0.0, 0.0, least=3) == 3 and numbers.decimals(90.0, 186.0, least=1) == 1


def test_signs_and_what_is_no_number():
    assert numbers.written(0.25, 2, True) == "+0.25" and numbers.written(-0.0001, 3, True) == "0.000"
    assert (
        numbers.interval(-math.inf, 0.021, 2) == "[-∞, 0.02]"
        and numbers.interval(0, math.inf, 1) == "[0.0, ∞]"
    )
    assert numbers.written(math.inf) == "not finite" and numbers.written(math.nan) == "–"
    assert numbers.interval("", "") == "" and numbers.interval(-0.01, math.nan) == ""


def _row(name: str, verdict: str, **more) -> dict:
    return {"variant": name, "role": "recurrent", "averaged": False, "verdict": verdict} | more


def test_networks_of_which_the_same_is_said_share_a_line():
    said = (
        "{} predicts better than a constant (+{} bits/spike). It is worse than the best chain markov_order2 by {} "
        "bits/spike ([-0.024, -0.007], p = 0.0059, Holm). A mixture read-out (`mixture: 8`) can tell."
    )
    rows = [
        _row("rate_memory10", said.format("rate_memory10", "1.102", "0.013")),
        _row("rate_averaged", "rate_averaged: no model of its own.", averaged=True),
        _row("esn", "esn predicts worse than a constant (-0.100 bits/spike)."),
        _row("lstm", said.format("lstm", "1.100", "0.015")),
        _row("psth", "psth predicts better than a constant.", role="baseline"),
    ]
    assert verdicts.grouped(rows) == [
        "rate_memory10 and lstm: each predicts better than a constant. It is worse than the best chain markov_order2 "
        "by 0.013 to 0.015 bits/spike. A mixture read-out (`mixture: 8`) can tell.",
        "esn predicts worse than a constant (-0.100 bits/spike).",
    ]
