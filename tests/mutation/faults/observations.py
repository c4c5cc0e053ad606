"""Distributions of a bin: likelihoods, means, draws, gradients, starts."""

from mutation.records import Fault

TESTS = (
    "test_observations_by_hand.py",
    "test_observations.py -k probabilities or equals or brute or draws or gradients or mixture_by or support",
)
SIGNALS = ("test_observations_by_hand.py", "test_skip.py")
ENGINES = ("test_engines.py -k finite_differences or held",)

FAULTS = [
    Fault(
        "The Poisson start rate divides by all bins, missing ones too.",
        "CountReadout.start_parameters", "(valid.sum() + 1.0)", "(valid.size + 1.0)", TESTS,
    ),
    Fault(
        "The Poisson log-probability has (y - 1)! in place of y!.",
        "Poisson.base", "arrays.log_factorial(y)", "arrays.log_gamma(y + (y == 0))", TESTS,
    ),
    Fault(
        "The slope of a Poisson mean is not 0 where the log rate is held at its bound.",
        "CountReadout.slope", " * ((eta >= MIN_LOG_RATE) & (eta <= MAX_LOG_RATE))", "", ("test_flows.py -k tangent_of_a_mixture or outside or tangent_is",),
    ),
    Fault(
        "The negative binomial has the shape alpha in place of 1 / alpha.",
        "NegativeBinomialReadout.log_prob", "r = (-log_alpha).exp()", "r = log_alpha.exp()", TESTS,
    ),
    Fault(
        "The log dispersion of the negative binomial is not held in its range.",
        "NegativeBinomialReadout.log_prob", 'arrays.row(p["log_dispersion"], eta).clamp(*LOG_ALPHA)',
        'arrays.row(p["log_dispersion"], eta)', (*ENGINES, *TESTS),
    ),
    Fault(
        "Negative binomial draws have a gamma rate of mean 1 / alpha times the mean.",
        "TorchDraws.gamma", " * dispersion * mean", " * mean", TESTS,
    ),
    Fault(
        "The bound of the Conway-Maxwell parameter does not grow with nu.",
        "ConwayMaxwellReadout._held", "nu * math.log(self.support)", "torch.ones_like(nu) * math.log(self.support)",
        TESTS,
    ),
    Fault(
        "The sums of the Conway-Maxwell distribution leave nu out of its mean.",
        "ConwayMaxwellReadout._sums", "k * eta - nu * log_factorial - largest", "k * eta - log_factorial - largest",
        TESTS,
    ),
    Fault(
        "The slope of the Conway-Maxwell mean is the second moment, not the variance.",
        "ConwayMaxwellReadout.slope", "((k - mean) ** 2 * probability)", "(k**2 * probability)", ("test_flows.py -k tangent_is",),
    ),
    Fault(
        "The components of a mixture start equal, and so stay equal.",
        "Mixture.start_parameters", "rng.normal(0, 0.3,", "rng.normal(0, 0.0,", TESTS,
    ),
    Fault(
        "The mean of a mixture weighs its components alike.",
        "Mixture.mean", "(log_w.exp().unsqueeze(-1) * self.component.mean(p, etas)).sum(-2)",
        "self.component.mean(p, etas).mean(-2)", TESTS,
    ),
    Fault(
        "The tangent of a mixture leaves out how the components move.",
        "Mixture.tangent", "return within + ", "return ", ("test_flows.py -k tangent_of_a_mixture or outside or tangent_is",),
    ),
    Fault(
        "Draws of a mixture always take the likeliest component.",
        "Mixture.draw", "arrays.chosen(log_w.exp(), generator)", "log_w.argmax(-1)", TESTS,
    ),
    Fault(
        "The categorical read-out starts at frequencies, not at their logarithms.",
        "CategoricalReadout.start_parameters", "np.log(frequency / frequency.sum())", "frequency / frequency.sum()",
        TESTS,
    ),
    Fault(
        "The Gaussian log-probability divides by the variance where it needs the sd.",
        "GaussianReadout.log_prob", "torch.exp(-log_sd)", "torch.exp(-2 * log_sd)", SIGNALS,
    ),
    Fault(
        "The Gaussian density is that of the standardised signal, so scores change with the unit.",
        "GaussianReadout.log_prob", "- log_sd - scale - 0.5", "- log_sd - 0.5", SIGNALS,
    ),
    Fault(
        "Gaussian draws use the variance as standard deviation.",
        "GaussianReadout.draw", "log_sd.exp()", "(2 * log_sd).exp()", SIGNALS,
    ),
    Fault(
        "The autoregression predicts each bin from the one after it.",
        "autoregression", "for part in (y[:, :-1], y[:, 1:])", "for part in (y[:, 1:], y[:, :-1])", SIGNALS,
    ),
    Fault(
        "A bin without a bin before has the sd of an innovation, not of the signal.",
        "skipped", 'torch.where(none, 0.0, row(p["log_sd"], eta).clamp_min(MIN_LOG_SD))',
        'torch.where(none, 1.0, 1.0) * row(p["log_sd"], eta).clamp_min(MIN_LOG_SD)', SIGNALS,
    ),
    Fault(
        "The tangent of a softmax averages over the tangent vectors, not over the labels.",
        "softmax_tangent", "(p * moved).sum(-2, keepdim=True)", "(p * moved).sum(-1, keepdim=True)",
        ("test_flows.py -k tangent_of_a_mixture or outside or tangent_is",),
    ),
    Fault(
        "The gradient of the Conway-Maxwell normaliser by nu has the wrong sign.",
        "LogNormaliser.backward", "(-grad * logs)", "(grad * logs)", TESTS,
    ),
    Fault(
        "The compiled Gaussian gradient by the log sd has the wrong sign.",
        "gaussian", "d_log_sd[j] += 1 - z * z", "d_log_sd[j] += z * z - 1", ("test_skip.py -k engines", "test_engines.py -k compiled_equals_generic"),
    ),
    Fault(
        "The compiled Poisson loss passes a gradient where the log rate is held.",
        "poisson", "d = zero if (x < low) | (x > high) else rate - count", "d = rate - count", ENGINES,
    ),
    Fault(
        "The generalised Poisson leaves the dispersion out of its natural parameter.",
        "GeneralisedPoisson.natural", " - dispersion * mean / raised", "", TESTS,
    ),
    Fault(
        "Children of a generalised Poisson draw are as many as its founders.",
        "GeneralisedPoisson.sample", "born * (dispersion * mean / raised)", "born * (mean / raised)", TESTS,
    ),
    Fault(
        "A distribution of counts without a compiled head is fitted with that of another.",
        "choose", "data.observation in heads.OBSERVATIONS", "True", ("test_observations_contract.py -k engine",),
    ),
    Fault(
        "The numpy negative binomial has the wrong log-partition function.",
        "NegativeBinomial.natural", "raised / dispersion", "raised", TESTS,
    ),
]  # fmt: skip
