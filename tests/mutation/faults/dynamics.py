"""Jacobians, spectra, exponents, fixed points, memory, similarity: what is said of a fitted network."""

from mutation.records import Fault

POINTS = ("test_dynamics.py -k fixed or eigenvalues", "test_couplings.py")

FAULTS = [
    Fault(
        "Jacobians from a flow's own tangent are transposed.",
        "_chunk", "len(states), -1, -1))[1]", "len(states), -1, -1))[1].mT", ("test_couplings.py",),
    ),
    Fault(
        "The spectral radius is the largest real part.",
        "spectral_radius", "np.abs(np.linalg.eigvals(square(matrix))).max()", "np.linalg.eigvals(_square(matrix)).real.max()", ("test_dynamics.py -k radius", "test_couplings.py"),
    ),
    Fault(
        "The numerical abscissa is that of A + A', twice too large.",
        "numerical_abscissa", "(a + a.conj().T) / 2", "a + a.conj().T", ("test_dynamics.py -k radius", "test_couplings.py"),
    ),
    Fault(
        "Frequencies are in radians per second, not in Hz.",
        "time_constants_and_frequencies", "(2 * np.pi * bin_width)", "bin_width", ("test_dynamics.py -k time_constants", "test_couplings.py"),
    ),
    Fault(
        "The bulk radius counts all columns for every sign class.",
        "bulk_radius", "sum(n * values.var()", "sum(len(w) * values.var()", ("test_dynamics.py -k bulk", "test_couplings.py"),
    ),
    Fault(
        "Sign classes are those of rows.",
        "_classes", "off & (signs == sign)", "off & (signs == sign)[:, None]", ("test_dynamics.py -k classes or outlier", "test_couplings.py"),
    ),
    Fault(
        "The p-value of an outlier may be 0.",
        "outliers", "(1 + n_permutations - reached) / (1 + n_permutations)", "(n_permutations - reached) / n_permutations", ("test_dynamics.py -k outlier", "test_couplings.py"),
    ),
    Fault(
        "Gains of rows and columns are not kept by the null that keeps them.",
        "profile_kept", "z * scale / _scales(z, inside)", "z * np.sqrt((w[inside] ** 2).mean())", ("test_dynamics.py -k profile", "test_couplings.py"),
    ),
    Fault(
        "What differs from the untrained network alone is called learned.",
        "_learned", 'if set(apart) == set(CONTROLS)', "if apart", ("test_controls.py",),
    ),
    Fault(
        "An interval of what refits all find too high ends below.",
        "_widened", "(-np.inf, high) if side > 0 else (low, np.inf)", "(low, np.inf) if side > 0 else (-np.inf, high)", ("test_calibrated_intervals.py",),
    ),
    Fault(
        "Calibrated intervals reach as far as the second largest of 20 misses.",
        "_widened", "LEVEL * (n + 1)", "LEVEL * n", ("test_calibrated_intervals.py",),
    ),
    Fault(
        "A draw has values where the recording has gaps.",
        "drawn", "np.where(known, run.values, old.values)", "run.values", ("test_calibrated_intervals.py",),
    ),
    Fault(
        "A sign is identified although its interval holds 0.",
        "_sign", "low > 0 or high < 0", "True", ("test_laboratory.py -k verdicts",),
    ),
    Fault(
        "Missing bins take part in the shuffled control.",
        "shuffled", "rng.permutation(row[known])", "rng.permutation(row)[known]", ("test_controls.py",),
    ),
    Fault(
        "An echo state is claimed of a rotation: any negative exponent will do.",
        "_test", "slope < -np.log(len(inputs)) / len(inputs)", "slope < 0", ("test_memory_of_states.py -k reach", "test_reservoirs.py"),
    ),
    Fault(
        "Excitatory currents flow against the synapses: the weights are transposed.",
        "balance", "r @ np.maximum(w, 0).T", "r @ np.maximum(w, 0)", ("test_similarity.py -k currents", "test_couplings.py"),
    ),
    Fault(
        "External currents are left out of the inhibition.",
        "balance", " + np.minimum(outside, 0)", "", ("test_similarity.py -k currents", "test_couplings.py"),
    ),
    Fault(
        "The tracking lag has the wrong sign.",
        "_peak", "return float(lags[i] + (", "return -float(lags[i] + (", ("test_similarity.py -k lag", "test_couplings.py"),
    ),
    Fault(
        "The efficacy of plastic synapses is not divided by U.",
        "balance_of_fit", '(u * x / one.cell.synapses(one.q).use)', "(u * x)", ("test_similarity.py -k balance_of_a_fit", "test_couplings.py"),
    ),
    Fault(
        "The participation ratio sees the diagonal of a covariance only.",
        "participation_ratio", "np.sum(c * c.T)", "np.sum(np.diag(c) ** 2)", ("test_dynamics.py -k participation", "test_couplings.py"),
    ),
    Fault(
        "The corrected participation ratio takes the noise off the trace only once.",
        "corrected_participation_ratio", "d.sum() ** 2 - 2 * np.trace(s) * d.sum()", "-np.trace(s) * d.sum()", ("test_similarity.py -k dimension", "test_couplings.py"),
    ),
    Fault(
        "Eigenvalues alone make a fixed point stable.",
        "fixed_points", "_returns(step, points[inside], perturbation * spread, max_returns, seed)", "True", POINTS,
    ),
    Fault(
        "Distances of fixed points to the data are not in units of their spread.",
        "fixed_points", "_apart(points, states).amin(1) / rms_spread(states.numpy())", "_apart(points, states).amin(1)", POINTS,
    ),
    Fault(
        "Two starts at one fixed point count as two points.",
        "_distinct", "apart <= distance", "apart < 0", ("test_dynamics.py -k fixed_points", "test_couplings.py"),
    ),
    Fault(
        "Recall and precision of fixed points change places.",
        "match_fixed_points", 'float("nan") for v in (reference, found)]', 'float("nan") for v in (found, reference)]', ("test_similarity.py -k matching", "test_couplings.py"),
    ),
    Fault(
        "A linear map between states is judged on the trials that it was fitted to.",
        "linear_map", "b[test][known[test]], a[test][known[test]]", "b[train][known[train]], a[train][known[train]]", ("test_similarity.py -k linear_map", "test_couplings.py"),
    ),
    Fault(
        "The penalty of a decoder is judged on folds that it was fitted to.",
        "ridge", "_path(whole - left_out, d, tried)", "_path(whole, d, tried)", ("test_memory_of_states.py -k ridge", "test_couplings.py"),
    ),
    Fault(
        "Decoding of the past reads the future.",
        "decode_past", "x, past = s[:, now], y[:, then]", "x, past = s[:, then], y[:, now]", ("test_memory_of_states.py -k decoding", "test_couplings.py"),
    ),
    Fault(
        "The area under the curve of a cue is that of the other label.",
        "_auc", "cue[test] == labels[1]", "cue[test] == labels[0]", ("test_memory_of_states.py -k cue", "test_couplings.py"),
    ),
    Fault(
        "Memory capacity counts the last input as remembered.",
        "memory_capacity", "[washout - max_lag :, -2::-1]", "[washout - max_lag :, -1:0:-1]", ("test_memory_of_states.py -k capacity", "test_couplings.py"),
    ),
    Fault(
        "The factors of dh_t/dh_{t-k} are in the wrong order.",
        "_products", "product = product @ jacobian", "product = jacobian @ product", ("test_memory_of_states.py -k gradients", "test_couplings.py"),
    ),
    Fault(
        "The path through the forget gates goes through the input gates.",
        "_forget_gates", 'gates["forget"]', 'gates["input"]', ("test_memory_of_states.py -k carousel", "test_couplings.py"),
    ),
    Fault(
        "The conditional exponent counts the steps that align the tangent vector.",
        "conditional_exponents", "bins >= loop.last[:, None] // 4", "bins >= 0 * loop.last[:, None]", ("test_memory_of_states.py -k exponent", "test_couplings.py"),
    ),
    Fault(
        "The Kaplan-Yorke dimension divides by the wrong exponent.",
        "kaplan_yorke", "sums[j - 1] / abs(values[j])", "sums[j - 1] / abs(values[j - 1])", ("test_spectra_and_chaos.py -k dimension", "test_couplings.py"),
    ),
    Fault(
        "The t interval over seeds is one of the values, not of their mean.",
        "half_width", "values.std(ddof=1) / np.sqrt(len(values))", "values.std(ddof=1)", ("test_spectra_and_chaos.py -k verdicts", "test_couplings.py"),
    ),
    Fault(
        "Growth of tangent vectors is averaged over warm-up and run.",
        "_follow", "if t >= warm_up:", "if t >= 0:", ("test_couplings.py",),
    ),
    Fault(
        "The divergence of twins is in bits per step.",
        "_slope", "logs = np.log(distances[:, :end])", "logs = np.log2(distances[:, :end])", ("test_spectra_and_chaos.py -k twins", "test_couplings.py"),
    ),
    Fault(
        "The predicted disc takes rows for columns.",
        "predicted_disc", "rows @ columns / mean", "rows @ rows / mean", ("test_spectra_and_chaos.py -k disc", "test_couplings.py"),
    ),
    Fault(
        "Overlaps of a low-rank part are with the transposed random part.",
        "low_rank_outliers", "np.asarray(random, dtype=np.float64) @ image", "np.asarray(random, dtype=np.float64).T @ image", ("test_spectra_and_chaos.py -k overlap", "test_couplings.py"),
    ),
    Fault(
        "Eigenvalues of a map are not divided by its step.",
        "to_continuous", "(values - 1) / bin_width", "values - 1", ("test_spectra_and_chaos.py -k conversions", "test_couplings.py"),
    ),
    Fault(
        "Transient growth is in the Frobenius norm.",
        "_curve", "np.linalg.norm(product, 2)", "np.linalg.norm(product)", ("test_spectra_and_chaos.py -k transient", "test_couplings.py"),
    ),
    Fault(
        "Class means of a weight matrix are those of rows.",
        "structure", "block[:, classes == name] = w[:, classes == name].mean()", "block[classes == name] = w[classes == name].mean()", ("test_dynamics.py -k structure", "test_couplings.py"),
    ),
    Fault(
        "The permutation test of two models looks at the wrong side.",
        "against_seeds", ">= (between - within) - 1e-12", "<= (between - within) + 1e-12", ("test_similarity.py -k seeds", "test_couplings.py"),
    ),
    Fault(
        "The slowest time constant is in bins, not in seconds.",
        "_slowest", '-found.attrs["bin_width"] / np.log', "-1.0 / np.log", ("test_laboratory.py -k what_the or every", "test_couplings.py"),
    ),
    Fault(
        "Growth between two factorisations is given whole to each of their steps.",
        "_carry", "out[t + 1 - age : t + 1] = logs / age", "out[t + 1 - age : t + 1] = logs", ("test_dynamics.py -k exponents", "test_spectra_and_chaos.py -k frame"),
    ),
    Fault(
        "The pulse of an input is read one bin late.",
        "_responses", "float(lag == 0)", "float(lag == 1)", ("test_pulses.py",),
    ),
    Fault(
        "A pulse is given to the observation in place of the recorded input.",
        "_responses", "first = one.network.n_seen(one.p)", "first = 0", ("test_pulses.py",),
    ),
    Fault(
        "The response to a pulse is that of the last lag.",
        "pulses", '("pulse_gain", np.max)', '("pulse_gain", lambda curve: curve[-1])', ("test_pulses.py",),
    ),
    Fault(
        "Alignment is over all of the variance, not what so many dimensions could hold.",
        "alignment", "own[:k].sum()", "own.sum()", ("test_shared_states.py",),
    ),
    Fault(
        "The states of a shared cell hold what a skip connection carries along.",
        "_of_the_cell", 'one.sizes["dim"] - one.sizes["feature"]', 'one.sizes["dim"]', ("test_shared_states.py",),
    ),
    Fault(
        "The operator on delays leads back in time.",
        "delay_operator", "np.linalg.solve(gram, x.T @ z / (len(x) * scale)).T", "np.linalg.solve(gram, z.T @ x / (len(x) * scale)).T", ("test_operators.py",),
    ),
    Fault(
        "Windows of an operator reach over missing bins.",
        "_windows", "length, axis=1).all(-1)", "length, axis=1).any(-1)", ("test_operators.py",),
    ),
    Fault(
        "Operators are compared without a rotation.",
        "_climbed", "c, gained, best = bold, found - best, np.maximum(found, best)", "c, gained, best = c, 0 * best, best", ("test_operators.py",),
    ),
    Fault(
        "Units of two members are paired where they differ most.",
        "_kappa", "linear_sum_assignment(-correlations)", "linear_sum_assignment(correlations)", ("test_likeness.py",),
    ),
]  # fmt: skip
