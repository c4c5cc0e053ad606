"""Closed forms, and the simulations that they are compared with."""

from mutation.records import Fault

PROCESSES = ("test_processes.py",)

FAULTS = [
    Fault(
        "The fractions of excitatory and inhibitory units change places in the bulk radius.",
        "dale_bulk_radius", "f * sigma_e**2 + (1 - f) * sigma_i**2", "(1 - f) * sigma_e**2 + f * sigma_i**2", ("test_theory.py -k dale",),
    ),
    Fault(
        "Facilitation does not saturate with U.",
        "stp_steady_state", "/ (1 + U * fac * r)", "/ (1 + fac * r)", ("test_theory.py -k plasticity",),
    ),
    Fault(
        "Transmission at a rate is the release of one spike.",
        "stp_frequency_response", "np.asarray(rate_hz, float) * u * x", "u * x", ("test_theory.py -k peak or plasticity",),
    ),
    Fault(
        "Facilitation and depression change their time constants.",
        "stp_response", "for tau in (tau_fac, tau_rec)", "for tau in (tau_rec, tau_fac)", ("test_theory.py -k spikes or trains",),
    ),
    Fault(
        "The forget horizon has the sign of the bias wrong.",
        "forget_horizon", "np.logaddexp(0, -np.asarray(bias, float))", "np.logaddexp(0, np.asarray(bias, float))", ("test_theory.py -k horizons",),
    ),
    Fault(
        "The error of an autoregression is a step short.",
        "autoregressive_error", "(1 - square**h)", "(1 - square ** (h - 1))", ("test_theory.py -k autoregression",),
    ),
    Fault(
        "Scheduled sampling mixes the wrong way round.",
        "scheduled_sampling", "e * p + (1 - e) * pi", "(1 - e) * p + e * pi", ("test_theory.py -k scheduled",),
    ),
    Fault(
        "The second term of a change of loss lacks its half.",
        "loss_change", "_dot(hessian_step, step) / 2", "_dot(hessian_step, step)", ("test_theory.py -k change",),
    ),
    Fault(
        "The exponent of the mean-field map is twice too large.",
        "mean_field_map", "float(np.log(chi) / 2))", "float(np.log(chi)))", ("test_theory.py -k map",),
    ),
    Fault(
        "Balanced rates have the external input with the wrong sign of coupling: J is transposed.",
        "balanced_rates", "np.linalg.solve(np.asarray(strengths, float),", "np.linalg.solve(np.asarray(strengths, float).T,", ("test_couplings.py",),
    ),
    Fault(
        "The variance of balanced input is that of Poisson units, m in place of m (1 - m).",
        "balanced_state", "np.sqrt(j**2 @ (m * (1 - m)))", "np.sqrt(j**2 @ m)", ("test_couplings.py",),
    ),
    Fault(
        "Binary units are simulated with transposed couplings.",
        "_run", "total += weights[unit // size, b] * active", "total += weights[b, unit // size] * active", ("test_couplings.py",),
    ),
    Fault(
        "The largest Euler step is half as long.",
        "euler_limit", "-2 * values.real", "-values.real", ("test_theory.py -k euler",),
    ),
    Fault(
        "The low-pass filter takes Hz for radians per second.",
        "low_pass", "(2 * np.pi * np.asarray(frequency) * tau)", "(np.asarray(frequency) * tau)", ("test_theory.py -k low_pass",),
    ),
    Fault(
        "Entropies are in nats, not in bits.",
        "_entropy", "np.log2(", "np.log(", PROCESSES,
    ),
    Fault(
        "The stationary law is the right eigenvector of the transitions.",
        "stationary", "transition.T - np.eye(n)", "transition - np.eye(n)", PROCESSES,
    ),
    Fault(
        "A chain of order k counts m probabilities in every context.",
        "chain_parameters", "symbols**order * (symbols - 1)", "symbols ** (order + 1)", ("test_theory.py -k horizons",),
    ),
    Fault(
        "Backward transfer counts the last task.",
        "transfer", "(r[-1] - r.diagonal())[:-1].mean()", "(r[-1] - r.diagonal()).mean()", ("test_couplings.py",),
    ),
]  # fmt: skip
