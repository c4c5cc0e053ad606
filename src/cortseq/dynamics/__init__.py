"""What moves a fitted network: analyses that see only a flow (or a weight matrix), float64 throughout."""

from cortseq.dynamics.dimension import participation_ratio
from cortseq.dynamics.fixed_points import FixedPoints, fixed_points
from cortseq.dynamics.flow import Flow, batched
from cortseq.dynamics.jacobians import jacobian
from cortseq.dynamics.lyapunov import LyapunovSpectrum, lyapunov_spectrum
from cortseq.dynamics.spectra import (
    Outliers,
    bulk_radius,
    henrici,
    numerical_abscissa,
    outliers,
    spectral_abscissa,
    spectral_radius,
    time_constants_and_frequencies,
)

__all__ = [
    "FixedPoints",
    "Flow",
    "LyapunovSpectrum",
    "Outliers",
    "batched",
    "bulk_radius",
    "fixed_points",
    "henrici",
    "jacobian",
    "lyapunov_spectrum",
    "numerical_abscissa",
    "outliers",
    "participation_ratio",
    "spectral_abscissa",
    "spectral_radius",
    "time_constants_and_frequencies",
]
