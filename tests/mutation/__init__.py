"""Single faults seeded into the source, one after another, to measure what the tests see.

`python -m mutation` (with `tests` on the path) seeds every fault of `mutation.faults` into a copy of the project, runs
the tests nearest to it and writes `docs/mutation.md`. See `mutation.harness`.
"""
