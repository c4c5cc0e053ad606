"""Held-out likelihood: units of scores, paired statistics, audits."""

from cortseq.scoring.statistics import PairedDifference, across_sessions, expected_best
from cortseq.scoring.units import benchmark_bits_per_spike, bits_per_spike, paired_difference

__all__ = [
    "PairedDifference",
    "across_sessions",
    "benchmark_bits_per_spike",
    "bits_per_spike",
    "expected_best",
    "paired_difference",
]
