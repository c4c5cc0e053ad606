"""Units of scores: the one table that says how a metric is written and how many nats one unit has.

Statistics speak nats per event; tables, figures and texts convert with this table.
"""

from __future__ import annotations

import math
from typing import NamedTuple

BIT = math.log(2)  # nats


class Metric(NamedTuple):
    """How a score is written.

    Attributes
    ----------
    label : its unit, as on an axis.
    event : what it is counted per.
    nats : in one unit.
    """

    label: str
    event: str
    nats: float


METRICS = {
    "bits_per_spike": Metric("bits/spike", "spike", BIT),
    "bits_per_symbol": Metric("bits/symbol", "symbol", BIT),
    "nats_per_sample": Metric("nats/sample", "sample", 1.0),
}
