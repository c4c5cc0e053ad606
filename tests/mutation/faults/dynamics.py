"""Jacobians, spectra, exponents, fixed points, memory, similarity: what is said of a fitted network."""

from mutation.records import Fault

DYNAMICS = ("test_dynamics.py", "test_couplings.py")
CHAOS = ("test_spectra_and_chaos.py", "test_couplings.py")
MEMORY = ("test_memory_of_states.py", "test_couplings.py")
ALIKE = ("test_similarity.py", "test_couplings.py")
LABORATORY = ("test_laboratory.py", "test_couplings.py")

FAULTS = [
    Fault(
        "Jacobians from a flow's own tangent are transposed.",
        "_chunk", "len(states), -1, -1))[1]", "len(states), -1, -1))[1].mT", ("test_flows.py", *DYNAMICS),
    ),
    Fault(
        "The spectral radius is the largest real part.",
        "spectral_radius", "np.abs(np.linalg.eigvals(_square(matrix))).max()", "np.linalg.eigvals(_square(matrix)).real.max()", DYNAMICS,
    ),
    Fault(
        "The numerical abscissa is that of A + A', twice too large.",
        "numerical_abscissa", "(a + a.conj().T) / 2", "a + a.conj().T", DYNAMICS,
    ),
    Fault(
        "Frequencies are in radians per second, not in Hz.",
        "time_constants_and_frequencies", "(2 * np.pi * bin_width)", "bin_width", DYNAMICS,
    ),
    Fault(
        "The bulk radius counts all columns for every sign class.",
        "bulk_radius", "sum(n * values.var()", "sum(len(w) * values.var()", DYNAMICS,
    ),
    Fault(
        "Sign classes are those of rows.",
        "_classes", "off & (signs == sign)", "off & (signs == sign)[:, None]", DYNAMICS,
    ),
    Fault(
        "The p-value of an outlier may be 0.",
        "outliers", "(1 + n_permutations - reached) / (1 + n_permutations)", "(n_permutations - reached) / n_permutations", DYNAMICS,
    ),
    Fault(
        "Excitatory currents flow against the synapses: the weights are transposed.",
        "balance", "r @ np.maximum(w, 0).T", "r @ np.maximum(w, 0)", ALIKE,
    ),
    Fault(
        "External currents are left out of the inhibition.",
        "balance", " + np.minimum(outside, 0)", "", ALIKE,
    ),
    Fault(
        "The tracking lag has the wrong sign.",
        "_peak", "return float(lags[i] + (", "return -float(lags[i] + (", ALIKE,
    ),
    Fault(
        "The efficacy of plastic synapses is not divided by U.",
        "balance_of_fit", '(u * x / q["use"])', "(u * x)", ALIKE,
    ),
    Fault(
        "The participation ratio sees the diagonal of a covariance only.",
        "participation_ratio", "np.sum(c * c.T)", "np.sum(np.diag(c) ** 2)", DYNAMICS,
    ),
    Fault(
        "The corrected participation ratio takes the noise off the trace only once.",
        "corrected_participation_ratio", "d.sum() ** 2 - 2 * np.trace(s) * d.sum()", "-np.trace(s) * d.sum()", ALIKE,
    ),
    Fault(
        "Eigenvalues alone make a fixed point stable.",
        "fixed_points", "_returns(step, points[inside], perturbation * spread, max_returns, seed)", "True", DYNAMICS,
    ),
    Fault(
        "Distances of fixed points to the data are not in units of their spread.",
        "fixed_points", "_apart(points, starts).amin(1) / spread", "_apart(points, starts).amin(1)", DYNAMICS,
    ),
    Fault(
        "Two starts at one fixed point count as two points.",
        "_distinct", "(apart[i, kept] <= distance).any()", "(apart[i, kept] < 0).any()", DYNAMICS,
    ),
    Fault(
        "Recall and precision of fixed points change places.",
        "match_fixed_points", 'float("nan") for v in (reference, found)]', 'float("nan") for v in (found, reference)]', ALIKE,
    ),
    Fault(
        "A linear map between states is judged on the trials that it was fitted to.",
        "linear_map", "b[test][known[test]], a[test][known[test]]", "b[train][known[train]], a[train][known[train]]", ALIKE,
    ),
    Fault(
        "The penalty of a decoder is judged on folds that it was fitted to.",
        "ridge", "_path(whole - left_out, d, tried)", "_path(whole, d, tried)", MEMORY,
    ),
    Fault(
        "Decoding of the past reads the future.",
        "decode_past", "x, past = s[:, now], y[:, then]", "x, past = s[:, then], y[:, now]", MEMORY,
    ),
    Fault(
        "The area under the curve of a cue is that of the other label.",
        "_auc", "cue[test] == labels[1]", "cue[test] == labels[0]", MEMORY,
    ),
    Fault(
        "Memory capacity counts the last input as remembered.",
        "memory_capacity", "[washout - max_lag :, -2::-1]", "[washout - max_lag :, -1:0:-1]", MEMORY,
    ),
    Fault(
        "The factors of dh_t/dh_{t-k} are in the wrong order.",
        "_products", "product = product @ jacobian", "product = jacobian @ product", MEMORY,
    ),
    Fault(
        "The path through the forget gates goes through the input gates.",
        "_forget_gates", "gates.chunk(4, -1)[1]", "gates.chunk(4, -1)[0]", MEMORY,
    ),
    Fault(
        "The conditional exponent counts the steps that align the tangent vector.",
        "conditional_exponents", "bins >= loop.last[:, None] // 4", "bins >= 0 * loop.last[:, None]", (*MEMORY, "test_laboratory.py"),
    ),
    Fault(
        "The Kaplan-Yorke dimension divides by the wrong exponent.",
        "kaplan_yorke", "sums[j - 1] / abs(values[j])", "sums[j - 1] / abs(values[j - 1])", CHAOS,
    ),
    Fault(
        "The t interval over seeds is one of the values, not of their mean.",
        "_interval", "values.std(ddof=1) / np.sqrt(len(values))", "values.std(ddof=1)", CHAOS,
    ),
    Fault(
        "Growth of tangent vectors is averaged over warm-up and run.",
        "_follow", "if t >= warm_up:", "if t >= 0:", CHAOS,
    ),
    Fault(
        "The divergence of twins is in bits per step.",
        "_slope", "logs = np.log(distances[:, :end])", "logs = np.log2(distances[:, :end])", CHAOS,
    ),
    Fault(
        "The predicted disc takes rows for columns.",
        "predicted_disc", "rows @ columns / mean", "rows @ rows / mean", CHAOS,
    ),
    Fault(
        "Overlaps of a low-rank part are with the transposed random part.",
        "low_rank_outliers", "np.asarray(random, dtype=np.float64) @ image", "np.asarray(random, dtype=np.float64).T @ image", CHAOS,
    ),
    Fault(
        "Eigenvalues of a map are not divided by its step.",
        "to_continuous", "(values - 1) / bin_width", "values - 1", CHAOS,
    ),
    Fault(
        "Transient growth is in the Frobenius norm.",
        "_curve", "np.linalg.norm(product, 2)", "np.linalg.norm(product)", CHAOS,
    ),
    Fault(
        "Class means of a weight matrix are those of rows.",
        "structure", "block[:, classes == name] = w[:, classes == name].mean()", "block[classes == name] = w[classes == name].mean()", DYNAMICS,
    ),
    Fault(
        "The permutation test of two models looks at the wrong side.",
        "against_seeds", ">= (between - within) - 1e-12", "<= (between - within) + 1e-12", ALIKE,
    ),
    Fault(
        "The slowest time constant is in bins, not in seconds.",
        "_slowest", '-found.attrs["bin_width"] / np.log', "-1.0 / np.log", LABORATORY,
    ),
    Fault(
        "The Lyapunov spectrum follows the frame with transposed Jacobians.",
        "_by_jacobians", "jacobian @ frame.vectors", "jacobian.T @ frame.vectors", (*DYNAMICS, *CHAOS),
    ),
]  # fmt: skip
