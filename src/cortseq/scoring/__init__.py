"""Held-out likelihood: units of scores, paired statistics, audits."""

from cortseq.scoring.statistics import PairedDifference, across_sessions, expected_best, paired_difference
from cortseq.scoring.units import benchmark_bits_per_spike, bits_per_spike

__all__ = [
    "PairedDifference",
    "across_sessions",
    "benchmark_bits_per_spike",
    "bits_per_spike",
    "expected_best",
    "paired_difference",
]
