"""Held-out likelihood: units of scores, paired statistics, audits."""

from cortseq.scoring.statistics import PairedDifference, paired_difference
from cortseq.scoring.units import benchmark_bits_per_spike, bits_per_spike

__all__ = ["PairedDifference", "benchmark_bits_per_spike", "bits_per_spike", "paired_difference"]
