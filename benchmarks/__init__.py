"""Speed of cortseq beside its peers: `python -m benchmarks` (docs/benchmarks.md).

Every row runs ours and the peers in turn, in one process and on one thread, on the same numbers, and compares
what they return: a disagreement is an error, not a speed.
"""
