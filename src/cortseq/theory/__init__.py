"""Predictions in closed form or by quadrature: what a measurement should show, and when it should not.

Modules import numpy only; scipy and torch come with the first call that needs them.
"""

from cortseq.theory.euler import (
    continuous_eigenvalue,
    euler_eigenvalue,
    euler_error,
    euler_is_stable,
    euler_largest_step,
    exponential_leak,
    leak_low_pass,
    low_pass,
    rate_equation,
)
from cortseq.theory.exposure import ScheduledSampling, autoregressive_error, scheduled_sampling
from cortseq.theory.horizons import (
    always_vanishes,
    bptt_multiplications,
    chain_parameters,
    forget_horizon,
    gradient_growth,
    truncation_error,
)
from cortseq.theory.interference import LossChange, gauss_newton, loss_change, measured_loss_change
from cortseq.theory.plasticity import (
    SteadyState,
    stp_frequency_response,
    stp_memory_rate,
    stp_peak_rate,
    stp_poisson,
    stp_response,
    stp_steady_state,
    stp_train,
)
from cortseq.theory.random_networks import MeanField, MeanFieldMap, mean_field, mean_field_map
from cortseq.theory.spectra import block_bulk_radius, dale_bulk_radius, low_rank_outliers

__all__ = [
    "LossChange",
    "MeanField",
    "MeanFieldMap",
    "ScheduledSampling",
    "SteadyState",
    "always_vanishes",
    "autoregressive_error",
    "block_bulk_radius",
    "bptt_multiplications",
    "chain_parameters",
    "continuous_eigenvalue",
    "dale_bulk_radius",
    "euler_eigenvalue",
    "euler_error",
    "euler_is_stable",
    "euler_largest_step",
    "exponential_leak",
    "forget_horizon",
    "gauss_newton",
    "gradient_growth",
    "leak_low_pass",
    "loss_change",
    "low_pass",
    "low_rank_outliers",
    "mean_field",
    "mean_field_map",
    "measured_loss_change",
    "rate_equation",
    "scheduled_sampling",
    "stp_frequency_response",
    "stp_memory_rate",
    "stp_peak_rate",
    "stp_poisson",
    "stp_response",
    "stp_steady_state",
    "stp_train",
    "truncation_error",
]
