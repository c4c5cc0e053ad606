"""Smoothers: models of held-out units given the held-in units at all times, past and future.

They serve co-smoothing alone (docs/likelihood.md#prediction-tasks). A smoother and a causal filter are never
in one ranking.
"""
