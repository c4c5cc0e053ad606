"""What moves a fitted network: analyses that see only a flow (or a weight matrix), float64 throughout."""

from cortseq.dynamics.attractors import LineAttractor, line_attractor, slow_points
from cortseq.dynamics.balance import Balance, balance, balance_of_fit, tracking_lag
from cortseq.dynamics.chaos import (
    ChaosVerdict,
    TwinDivergence,
    chaos_verdict,
    leading_exponents,
    twin_divergence,
)
from cortseq.dynamics.decoding import SilentMemory, decode_cue, decode_past, silent_memory
from cortseq.dynamics.dimension import alignment, corrected_participation_ratio, participation_ratio
from cortseq.dynamics.driven import Driven, driven
from cortseq.dynamics.echo_state import (
    EchoState,
    EchoStateBounds,
    echo_state_bounds,
    echo_state_of_fit,
    echo_state_test,
)
from cortseq.dynamics.enumeration import EveryFixedPoint, every_fixed_point, every_fixed_point_of_fit
from cortseq.dynamics.fixed_points import FixedPoints, fixed_points
from cortseq.dynamics.gradients import (
    GradientReach,
    conditional_exponents,
    forget_path_norms,
    gradient_norms,
    gradient_reach,
)
from cortseq.dynamics.jacobians import jacobian
from cortseq.dynamics.lipschitz import LipschitzBound, lipschitz_bound
from cortseq.dynamics.lyapunov import LyapunovSpectrum, entropy, kaplan_yorke, lyapunov_spectrum
from cortseq.dynamics.memory import MemoryCapacity, memory_capacity
from cortseq.dynamics.operators import delay_operator, operator_angle
from cortseq.dynamics.similarity import (
    AgainstSeeds,
    FixedPointMatch,
    LinearMap,
    against_seeds,
    linear_map,
    match_fixed_points,
    spectral_distance,
)
from cortseq.dynamics.spectra import (
    Outliers,
    bulk_radius,
    henrici,
    numerical_abscissa,
    outliers,
    time_constants_and_frequencies,
)
from cortseq.dynamics.structure import Structure, structure
from cortseq.dynamics.topology import Loops, loops
from cortseq.dynamics.transient import TransientGrowth, transient_growth
from cortseq.flow import Flow, batched
from cortseq.matrices import spectral_abscissa, spectral_radius
from cortseq.theory.bulk import low_rank_outliers, predicted_disc, profile_radius, stability_margin
from cortseq.theory.conversion import euler_limit, to_continuous, to_discrete

__all__ = [
    "AgainstSeeds",
    "Balance",
    "ChaosVerdict",
    "Driven",
    "EchoState",
    "EchoStateBounds",
    "EveryFixedPoint",
    "FixedPointMatch",
    "FixedPoints",
    "Flow",
    "GradientReach",
    "LineAttractor",
    "LinearMap",
    "LipschitzBound",
    "Loops",
    "LyapunovSpectrum",
    "MemoryCapacity",
    "Outliers",
    "SilentMemory",
    "Structure",
    "TransientGrowth",
    "TwinDivergence",
    "against_seeds",
    "alignment",
    "balance",
    "balance_of_fit",
    "batched",
    "bulk_radius",
    "chaos_verdict",
    "conditional_exponents",
    "corrected_participation_ratio",
    "decode_cue",
    "decode_past",
    "delay_operator",
    "driven",
    "echo_state_bounds",
    "echo_state_of_fit",
    "echo_state_test",
    "entropy",
    "euler_limit",
    "every_fixed_point",
    "every_fixed_point_of_fit",
    "fixed_points",
    "forget_path_norms",
    "gradient_norms",
    "gradient_reach",
    "henrici",
    "jacobian",
    "kaplan_yorke",
    "leading_exponents",
    "line_attractor",
    "linear_map",
    "lipschitz_bound",
    "loops",
    "low_rank_outliers",
    "lyapunov_spectrum",
    "match_fixed_points",
    "memory_capacity",
    "numerical_abscissa",
    "operator_angle",
    "outliers",
    "participation_ratio",
    "predicted_disc",
    "profile_radius",
    "silent_memory",
    "slow_points",
    "spectral_abscissa",
    "spectral_distance",
    "spectral_radius",
    "stability_margin",
    "structure",
    "time_constants_and_frequencies",
    "to_continuous",
    "to_discrete",
    "tracking_lag",
    "transient_growth",
    "twin_divergence",
]
