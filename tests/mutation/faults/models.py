"""Null, floors, Markov chains, hidden Markov models and regressions."""

from mutation.records import Fault

CHOICE = "test_choice_on_validation.py"
HAND = "test_models_by_hand.py"
CHAINS = (HAND, "test_markov.py", "test_smoothing.py", "test_forecast_chains.py")
EM = (HAND, "test_hmm.py -k never_descends or hmmlearn")
DRIVEN = ("test_hmm_driven.py -k sums_over_all_paths",)
PATHS = ("test_hmm.py -k sums_over_all_paths",)
GLM = (HAND, "test_baselines.py -k filtered or inputs_act or couplings or objective or ridge or forecast")
FLOORS = (HAND, "test_baselines.py -k flat_mean or causal or forecast or missing")

FAULTS = [
    Fault(
        "The null learns from validation trials too.",
        "Null.learn", "emission.estimate(train.y, train.valid)",
        "emission.estimate(np.concatenate([train.y, valid.y]), np.concatenate([train.valid, valid.valid]))",
        (HAND,),
    ),
    Fault(
        "The PSTH chooses its width on training trials.",
        "Psth.learn", "best(emission, valid, self._pooled(emission, train), _distribution)",
        "best(emission, train, self._pooled(emission, train), _distribution)", ("test_baselines.py -k psth", CHOICE),
    ),
    Fault(
        "The PSTH takes conditions that validation trials do not show.",
        "Psth.learn", "found[0].sum() > score.sum() and clearly_better(found[0], pooled[0])",
        "found[0].sum() > score.sum()", ("test_psth_and_drift.py -k shuffled",),
    ),
    Fault(
        "A condition without training trials is given the first one.",
        "_bins", "np.where(p[\"condition\"][at] == key, at + 1, 0)", "at + 1", ("test_psth_and_drift.py -k never",),
    ),
    Fault(
        "Drift measures its spread on trials that it was made of.",
        "_settings", "whole[train.place] - bins", "whole[train.place]", ("test_psth_and_drift.py -k left_out",),
    ),
    Fault(
        "Drift counts a training trial twice.",
        "_both_ways", "before + after - values", "before + after", ("test_psth_and_drift.py -k weighted",),
    ),
    Fault(
        "The PSTH sums what missing bins hold.",
        "counted", "np.where(data.valid[..., None], data.kind.encoded(data.y, data.n_features), 0)",
        "data.kind.encoded(data.y, data.n_features)", FLOORS,
    ),
    Fault(
        "Past the longest training trial the PSTH begins anew.",
        "_cut", "np.minimum(np.arange(n_time), mean.shape[1] - 1)", "np.arange(n_time) % mean.shape[1]",
        ("test_models_by_hand.py -k longest",),
    ),
    Fault(
        "The flat mean counts the bin that it predicts.",
        "_mean", "delayed(a, 1) - delayed(a, window + 1)", "a - delayed(a, window)", FLOORS,
    ),
    Fault(
        "The flat mean chooses its window on training trials.",
        "Flat.learn",
        "best(emission, valid, settings(), _distribution)", "best(emission, train, settings(), _distribution)",
        ("test_baselines.py -k flat", CHOICE),
    ),
    Fault(
        "A flat forecast is a bin older than it says.",
        "_distribution", "delayed(mean, horizon - 1)", "delayed(mean, horizon)", FLOORS,
    ),
    Fault(
        "The forecast of a random walk counts one step too many.",
        "_walk", "(horizon - 1) * p", "horizon * p",
        ("test_models_by_hand.py -k walk",),
    ),
    Fault(
        "Persistence chooses its share on training trials.",
        "Persistence.learn",
        'np.array(share)}, valid)', 'np.array(share)}, train)',
        ("test_baselines.py -k persistence", CHOICE),
    ),
    Fault(
        "Missing bins of a chain count as the label that they hold.",
        "_back", "known = np.where(valid, symbols, m).astype(np.int64)", "known = symbols.astype(np.int64)",
        ("test_models_by_hand.py -k missing",),
    ),
    Fault(
        "The contexts of a chain are a bin too old.",
        "_back", "out[:, lag:] = known[:, : max(symbols.shape[1] - lag, 0)]",
        "out[:, lag + 1 :] = known[:, : max(symbols.shape[1] - lag - 1, 0)]", CHAINS,
    ),
    Fault(
        "Additive smoothing backs off with alpha, not with alpha m.",
        "additive", "alpha * m / total if last", "alpha / total if last", CHAINS,
    ),
    Fault(
        "The discounts of Kneser-Ney leave the 2 out of n1 + 2 n2.",
        "_discounts", "(n[0] + 2 * n[1])", "(n[0] + n[1])",
        ("test_smoothing.py -k discounts",),
    ),
    Fault(
        "Kneser-Ney counts distinct labels before the start of a trial.",
        "_continuations", "% (m + 1) == m, plain, distinct)", "% (m + 1) == m, distinct, distinct)",
        ("test_smoothing.py -k kneser or continuations",),
    ),
    Fault(
        "Deleted interpolation does not delete: labels predict themselves.",
        "deleted_weights", "p[level] = (own - 1) / np.maximum(total - 1, 1)", "p[level] = own / total",
        ("test_smoothing.py -k deleted",),
    ),
    Fault(
        "The estimator of context trees adds 1 where it adds 1/2 to the total.",
        "krichevsky_trofimov", "special.gammaln(m / 2) - special.gammaln(n + m / 2)", "special.gammaln(m) - special.gammaln(n + m)",
        ("test_smoothing.py -k context_tree",),
    ),
    Fault(
        "Causal smoothing weighs the past with 1 - d in place of d.",
        "smooth_step", "decay * before + (1 - decay) * y", "(1 - decay) * before + decay * y",
        ("test_models_by_hand.py -k smoothed",),
    ),
    Fault(
        "What a missing bin holds enters the smoothed counts.",
        "smoothed", "np.where(valid, step, now), seen | valid", "step, seen | valid",
        ("test_models_by_hand.py -k smoothed or missing",),
    ),
    Fault(
        "Rates of population states are not shrunk: a state without a spike has rate 0.",
        "shrunk_rates", "return np.asarray((total + b * mean) / (n + b))", "return total / np.maximum(n, 1)",
        ("test_models_by_hand.py -k without_a_spike",),
    ),
    Fault(
        "The sd of population states is about means that hold the bin itself.",
        "_gaussians", "(total - total_own + overall) / (n - n_own + 1)", "(total + overall) / (n + 1)",
        ("test_markov.py -k noise",),
    ),
    Fault(
        "A chain chooses its smoothing on training trials.",
        "StateChain._best", "self._score(params, valid, unseen)[valid.valid]",
        "self._score(params, train, labels)[train.valid]",
        ("test_choice_on_validation.py -k chain",),
    ),
    Fault(
        "A chain that runs freely sees one label less than its order.",
        "StateChain.simulate", "slice(max(0, t - self.length), t + 1)", "slice(max(0, t - self.length + 1), t + 1)",
        ("test_models_by_hand.py -k chain_of_order",),
    ),
    Fault(
        "The rates of population states are not counted as parameters.",
        "StateChain.learn", 'else m * train.n_features', 'else m',
        ("test_models_by_hand.py -k parameters",),
    ),
    Fault(
        "Expected transitions of the hidden Markov model are transposed.",
        "_expected", "belief[:-1].reshape(-1, n).T @ ratio[1:].reshape(-1, n)",
        "ratio[1:].reshape(-1, n).T @ belief[:-1].reshape(-1, n)",
        EM,
    ),
    Fault(
        "The hidden Markov model keeps the iterate that is best on training trials.",
        "climb", "log_likelihood(emission, p, sets[1], PRECISION)",
        "log_likelihood(emission, p, sets[0], PRECISION)",
        ("test_choice_on_validation.py -k hidden",),
    ),
    Fault(
        "A forecast of the hidden Markov model is a step short.",
        "ahead", 'belief[:-h] @ np.linalg.matrix_power(p["transition"], h)',
        'belief[:-h] @ np.linalg.matrix_power(p["transition"], h - 1)',
        PATHS,
    ),
    Fault(
        "Co-smoothing filters: it sees no later bin.",
        "Hmm.cosmooth", "em.smoothed(emission, p, block)[0]", "em.smoothed(emission, p, block)[1]",
        PATHS,
    ),
    Fault(
        "The hidden Markov model draws with transposed transitions.",
        "Hmm.simulate", 'params["transition"][state]', '(params["transition"].T / params["transition"].T.sum(1, keepdims=True))[state]',
        ("test_models_by_hand.py -k hidden_chain",),
    ),
    Fault(
        "Sticky pseudo-counts are on every transition.",
        "Hmm.maximise", "self.sticky * np.eye(self.states)", "self.sticky * np.ones((self.states, self.states))",
        EM,
    ),
    Fault(
        "The backward pass begins a bin late in short trials.",
        "backward", "if t >= length[r] - 1:", "if t >= length[r]:",
        (*PATHS, *EM),
    ),
    Fault(
        "Steered transitions forget that rows sum to 1.",
        "_moved", 'belief / (w @ p["transition"].T)', "belief", DRIVEN,
    ),
    Fault(
        "Inputs steer a hidden chain out of the bin before.",
        "statistics", "block.inputs.reshape(*block.shape, -1)[1:]", "block.inputs.reshape(*block.shape, -1)[:-1]",
        ("test_hmm_driven.py -k no_slope",),
    ),
    Fault(
        "Missing bins of a driven state count as silent ones.",
        "DrivenCounts.log_prob", "there * np.exp(eta).sum(1)", "np.exp(eta).sum(1)", DRIVEN,
    ),
    Fault(
        "The weights of inputs are shrunk to nothing in place of what all bins share.",
        "Prior.slopes", "-self.rate * (theta[:, :-1] - self.drive)", "-self.rate * theta[:, :-1]",
        ("test_hmm_driven.py -k no_slope",),
    ),
    Fault(
        "The prior of hidden states is worth nothing.",
        "CountStates.maximise", 'self.prior * self.overall["rate"]) / (s[:, -1:] + self.prior)',
        '1e-9 * self.overall["rate"]) / (s[:, -1:] + 1e-9)',
        ("test_models_by_hand.py -k prior",),
    ),
    Fault(
        "The regression keeps its last penalty, not the one that is best on validation.",
        "Glm.learn", "if scores[-1] > best[0]:", "if True:",
        ("test_choice_on_validation.py -k regression",),
    ),
    Fault(
        "Inputs act a bin late in the regression.",
        "Glm._of_inputs", "np.nan_to_num(inputs) - p", "np.roll(np.nan_to_num(inputs), 1, axis=1) - p",
        ("test_baselines.py -k inputs_act",),
    ),
    Fault(
        "A forecast of the regression forgets past inputs as it does the history.",
        "Glm._of_inputs", "later = self.input_basis()", "later = self.basis()", ("test_glm_inputs.py -k designs",),
    ),
    Fault(
        "The filters of the regression run backwards in lag.",
        "filtered", "basis[::-1].T", "basis.T",
        ("test_baselines.py -k filtered",),
    ),
    Fault(
        "The couplings of the regression are transposed: to, from.",
        "Glm.couplings", '"lf,nfm->lmn"', '"lf,nfm->lnm"',
        ("test_models_by_hand.py -k couplings",),
    ),
    Fault(
        "Forecast covariances use transposed couplings.",
        "_covariances", "coupling[k].T @ psi[lead - k]", "coupling[k] @ psi[lead - k]",
        ("test_models_by_hand.py -k forecasts",),
    ),
    Fault(
        "Forecast covariances are taken as diagonal.",
        "_covariances", "found.append(total)", "found.append(np.diag(np.diag(total)))",
        ("test_models_by_hand.py -k forecasts",),
    ),
    Fault(
        "The residual sd of the regression is not corrected for the degrees of freedom.",
        "residual_sd", "len(features) - freedom", "len(features)",
        ("test_models_by_hand.py -k residual",),
    ),
    Fault(
        "The penalty of a regression shrinks its intercept.",
        "_Basis.minimise", "np.append(0.0, np.full(", "np.append(penalty, np.full(",
        ("test_baselines.py -k objective or ridge or regression",),
    ),
    Fault(
        "Every model has a forecast a bin later than it can.",
        "reached", ">= np.asarray(horizons) - 1)", ">= np.asarray(horizons))",
        ("test_forecast_chains.py", "test_baselines.py -k forecast"),
    ),
    Fault(
        "Spikes of missing bins are counted as events.",
        "Track.n_events",
        "np.where(counted, total.astype(int) if total.dtype.kind == \"u\" else total, 0)", "total",
        ("test_models_by_hand.py -k events",),
    ),
    Fault(
        "All members simulate with the same random numbers.",
        "Fit.simulate", "np.random.default_rng([seed, member])", "np.random.default_rng([seed, 0])",
        ("test_models_by_hand.py -k members",),
    ),
    Fault(
        "The noise of the latent is not added on the way to the next bin.",
        "covariances", "predicted[u, t + 1] += noise", "predicted[u, t + 1] += 0 * noise", ("test_lds.py",),
    ),
    Fault(
        "The mixture over draws of a latent is their sum.",
        "Counts.log_prob", "special.logsumexp(parts, axis=-1) - np.log(parts.shape[-1])", "special.logsumexp(parts, axis=-1)", ("test_lds.py",),
    ),
]  # fmt: skip
