"""Scores, comparisons, statistics and the tasks beside the next bin."""

from mutation.records import Fault

SCORING = ("test_folds_and_burn_in.py", "test_scoring.py")
STATISTICS = ("test_statistics.py",)
TASKS = ("test_folds_and_burn_in.py", "test_predictions.py")

FAULTS = [
    Fault(
        "The p-value of drawn sign flips may be 0.",
        "_sign_flips", "(1 + extreme) / (1 + resamples)", "extreme / resamples", STATISTICS,
    ),
    Fault(
        "The interval of a paired difference holds 90 %.",
        "_student", "stdtrit(degrees, 0.975)", "stdtrit(degrees, 0.95)", STATISTICS,
    ),
    Fault(
        "The ends of the interval change places.",
        "_student", "estimate - half, estimate + half", "estimate + half, estimate - half", STATISTICS,
    ),
    Fault(
        "A difference is per trial, not per event.",
        "_in_blocks", "(a.mean(0) - b.mean(0)).sum() / events.sum()", "(a.mean(0) - b.mean(0)).sum() / len(events)", STATISTICS,
    ),
    Fault(
        "The spread of the members is not in the interval.",
        "_random_effects", "variance = of_blocks + of_members + of_split", "variance = of_blocks + of_split", STATISTICS,
    ),
    Fault(
        "What members differ by is not freed of the noise of the trials.",
        "_restarts", "max(float(spread - noise), 0.0)", "float(spread)", STATISTICS,
    ),
    Fault(
        "The degrees of freedom are those of the blocks alone.",
        "_random_effects", "inverse += of_members / variance / restarts", "inverse += 0.0", STATISTICS,
    ),
    Fault(
        "p does not know of restarts.",
        "_random_effects", "if of_members + of_split > 0 or", "if False and", STATISTICS,
    ),
    Fault(
        "Training sets are taken as given where there are folds.",
        "_random_effects", "of_blocks + of_members + of_split", "of_blocks + of_members", STATISTICS,
    ),
    Fault(
        "The variance between folds is divided as if their training sets were independent.",
        "_Blocked.over_folds", "(1 / n + 1 / (n - 1))", "(1 / n)", STATISTICS,
    ),
    Fault(
        "What trials make folds differ by is taken for their training sets.",
        "_Blocked.over_folds", "explained * (1 / share).mean()", "0.0", STATISTICS,
    ),
    Fault(
        "The folds of the test trials are not told to the statistics.",
        "place", '"folds": of_fold', '"folds": 0 * of_fold', SCORING,
    ),
    Fault(
        "The smallest p of n blocks is half as large.",
        "smallest_p", "2.0 ** (1 - n_blocks)", "2.0 ** -n_blocks", STATISTICS,
    ),
    Fault(
        "Blocks are cut in the order in which trials are given.",
        "_in_blocks", "elif s.order is not None:", "elif False:", STATISTICS,
    ),
    Fault(
        "The autocorrelation of the differences is not looked at.",
        "cut", "if n >= FEWEST_ASSESSED:", "if False:", STATISTICS,
    ),
    Fault(
        "Blocks are as long as the integrated time.",
        "cut", "_LENGTH * g", "tau", STATISTICS,
    ),
    Fault(
        "Pooled over sessions, the interval is that of one session.",
        "across_sessions", "float(gains.var(ddof=1)) / n", "float(gains.var(ddof=1))", STATISTICS,
    ),
    Fault(
        "The p-value of the t distribution is one-sided.",
        "_student", "2 * float(special.stdtr(", "float(special.stdtr(", STATISTICS,
    ),
    Fault(
        "Neighbouring windows of a continuous recording may be blocks of their own.",
        "shortest", "if is_continuous else 1", "if False else 1", STATISTICS,
    ),
    Fault(
        "Resamples of a choice are of all trials at once.",
        "shares", "multinomial(n, np.full(n, 1 / n), RESAMPLES)", "multinomial(10**6, np.full(n, 1 / n), RESAMPLES)",
        ("test_tables.py -k other_validation",),
    ),
    Fault(
        "A trial is part of the mean response that predicts it.",
        "_others", "np.maximum(sums[mine] - own, 0.0)", "sums[mine]", ("test_ceilings.py -k own_mean",),
    ),
    Fault(
        "Reliability is that of half of the trials.",
        "reliability", "2 * r / (1 + r)", "r", ("test_ceilings.py -k reliability",),
    ),
    Fault(
        "The transform of a count is not randomised.",
        "_member", "rng.random(lower.shape) * (upper - lower)", "0.5 * (upper - lower)",
        ("test_fit_quality.py -k chance",),
    ),
    Fault(
        "Rescaled intervals hold the whole last bin.",
        "rescaled", "rng.random(len(at)) * -np.expm1(-q[at])", "1.0 * -np.expm1(-q[at])", ("test_fit_quality.py -k clock",),
    ),
    Fault(
        "Parts are adjusted over all kinds together.",
        "table", 'for _, same in found.groupby("part"):', "for same in [found]:", ("test_parts.py -k adjusted",),
    ),
    Fault(
        "Holm's adjustment is Bonferroni's.",
        "holm", "(m - rank) * p[i]", "m * p[i]", SCORING,
    ),
    Fault(
        "Adjusted p-values may fall from one to the next.",
        "holm", "max(running, min(1.0, (m - rank) * p[i]))", "min(1.0, (m - rank) * p[i])", SCORING,
    ),
    Fault(
        "Equivalence looks at one side only.",
        "PairedDifference.equivalence", "margin - abs(self.estimate)", "margin - self.estimate", STATISTICS,
    ),
    Fault(
        "The detectable gain is that of a one-sided test.",
        "PairedDifference.detectable", "stdtrit(self.degrees, 0.975)", "stdtrit(self.degrees, 0.95)", STATISTICS,
    ),
    Fault(
        "The expected best of a sweep is chosen on test.",
        "expected_best", "np.argsort(valid,", "np.argsort(test,", SCORING,
    ),
    Fault(
        "The best member is the one that is best on test.",
        "_fold", "best = int(sums.sum(1).argmax())", 'best = int(late["log_prob"].sum(("trial", "time")).values.argmax())', SCORING,
    ),
    Fault(
        "Bits per second count the seconds of the burn-in.",
        "_fold", 'float(late["log_prob"].isel(member=0).notnull().sum())', 'float(test["log_prob"].isel(member=0).notnull().sum())', SCORING,
    ),
    Fault(
        "Events of the burn-in are counted, its nats are not.",
        "_fold", 'test_events=late["n_events"]', 'test_events=test["n_events"]', SCORING,
    ),
    Fault(
        "Validation scores hold the burn-in.",
        "_fold", 'sums = late_valid["log_prob"]', 'sums = valid["log_prob"]', SCORING,
    ),
    Fault(
        "The best variant is the one that is best on test.",
        "choose", "v.valid.mean(0).sum()", "v.test.mean(0).sum()", SCORING,
    ),
    Fault(
        "The scores of every fold are those of the first.",
        "join", "[getattr(s, name) for s in folds]", "[getattr(folds[0], name) for _ in folds]", SCORING,
    ),
    Fault(
        "The variant of the first fold is taken in every fold.",
        "table", "[choose([s[f] for s in entries[n]]) for f in per_fold]",
        "[max(entries[n], key=lambda s: s[0].valid.mean(0).sum())[f] for f in per_fold]", SCORING,
    ),
    Fault(
        "The chain that gains are measured from, and the rival, are the best ones on test.",
        "best", "choose(list(fold))", "max(fold, key=lambda v: v.test.mean(0).sum())", (*SCORING, "test_tables.py"),
    ),
    Fault(
        "A chain that loses to the null is the reference.",
        "table", '[*some, "null"]', "some", ("test_scoring.py -k loses",),
    ),
    Fault(
        "Chains are no rivals.",
        "_OTHERS", '("markov", "baseline")', '("baseline",)', (*SCORING, "test_tables.py"),
    ),
    Fault(
        "Trials of different folds are not put in the order of time.",
        "place", "order = np.concatenate(folds)", "order = np.arange(sum(map(len, folds)))", SCORING,
    ),
    Fault(
        "The null of the evaluated trials is scored on the burn-in too.",
        "_evaluation_null", "time=slice(burn_in, None)", "time=slice(0, None)", SCORING,
    ),
    Fault(
        "The ceiling holds the burn-in.",
        "_limits", "time=slice(burn_in, None)", "time=slice(0, None)", SCORING,
    ),
    Fault(
        "Averaged members are in the family of Holm's adjustment.",
        "finish", ' & ~frame["averaged"].astype(bool)', "", SCORING,
    ),
    Fault(
        "The spread of the members is that of the nats of a trial.",
        "_row", "(s.test - null.test).sum(1) / total", "(s.test - null.test).mean(1) / total", SCORING,
    ),
    Fault(
        "The gain of the best member is over the mean member.",
        "_row", "(s.best - null.best).sum() / total", "(s.test.mean(0) - null.best).sum() / total", SCORING,
    ),
    Fault(
        "The score from a cold start is divided by the events after the burn-in.",
        "_row", "s.cold_events.sum() * given.unit", "events.sum() * given.unit", SCORING,
    ),
    Fault(
        "Gains of signals are in bits.",
        "References.difference", ".per(self.unit)", ".per(float(np.log(2)))", (*SCORING, "test_models.py -k signal"),
    ),
    Fault(
        "Validation and test change places in the table of variants.",
        "_variant_row", "(valid, loss_valid), (test, loss_test)", "(test, loss_test), (valid, loss_valid)", SCORING,
    ),
    Fault(
        "The budget curve takes every fold from the first.",
        "_budget_rows", "getattr(v[f], r)", "getattr(v[0], r)", SCORING,
    ),
    Fault(
        "Recordings of different bin widths are pooled.",
        "sessions", 'part["metric"], str(part["bin_ms"]), part["model"]', 'part["metric"], part["model"]', SCORING,
    ),
    Fault(
        "Scores of units hold the burn-in.",
        "_rates", "nats[:, burn_in:].sum(1)", "nats.sum(1)", SCORING,
    ),
    Fault(
        "The members' mean prediction is the mean of their log-probabilities.",
        "averaged", "logsumexp(log_prob, axis=0, keepdims=True) - np.log(len(log_prob))", "log_prob.mean(0, keepdims=True)", SCORING,
    ),
    Fault(
        "The variant that forecasts is the best one on test.",
        "best", '["role"].values == "valid"', '["role"].values == "test"', TASKS,
    ),
    Fault(
        "The variant that forecasts is chosen with the burn-in.",
        "best", "scores[name].isel(time=slice(burn_in, None))", "scores[name]", TASKS,
    ),
    Fault(
        "A term of the sum over futures is not weighted by the bins it was drawn of.",
        "settled", "value + np.where(np.isnan(gain), 0.0, gain / share)",
        "value + np.where(np.isnan(gain), 0.0, gain)", ("test_predictions.py -k settled",),
    ),
    Fault(
        "The last term of the sum over futures is not added once more: no jackknife.",
        "settled", "return value + bias, bias, samples", "return value, bias, samples", ("test_predictions.py -k settled",),
    ),
    Fault(
        "A forecast that is too low for want of futures is not marked.",
        "_matters", "left >= _SMALL * (gain", "left >= 10 * (gain", ("test_predictions.py -k marked",),
    ),
    Fault(
        "Horizons are scored on different bins.",
        "_gains", "max(burn_in, int(horizons.max()) - 1)", "burn_in", TASKS,
    ),
    Fault(
        "Trials of different folds are not put in the order of time in the tables of tasks.",
        "_place", '[f["trial"].values for f in folds]', '[np.arange(f.sizes["trial"]) for f in folds]', TASKS,
    ),
    Fault(
        "Memory gain has the wrong sign.",
        "memory_rerun", "full - short[..., i], nothing", "short[..., i] - full, nothing", TASKS,
    ),
    Fault(
        "Events of the tables of tasks hold the burn-in.",
        "_events", 'f["n_events"].values[:, start:]', 'f["n_events"].values', TASKS,
    ),
    Fault(
        "Trials of forecasts are the first ones.",
        "evenly", "np.linspace(0, len(trials) - 1, min(n, len(trials))).round().astype(int)", "np.arange(min(n, len(trials)))", TASKS,
    ),
    Fault(
        "The change of a session is from when the first one was learned.",
        "table", "log_prob_b=cells[j][j].log_prob_a", "log_prob_b=cells[0][j].log_prob_a", ("test_folds_and_burn_in.py",),
    ),
    Fault(
        "The two halves of the recording that rule simulations share trials.",
        "_agreement", "order[len(order) // 2 :]", "order", TASKS,
    ),
    Fault(
        "The number of states of the smoother is chosen on test.",
        "_hmm",
        "valid.valid[..., None], valid.y[..., held_out], np.nan)\n        score = float(_log_prob(rates[0], spikes)",
        "test.valid[..., None], test.y[..., held_out], np.nan)\n        score = float(_log_prob(rates[1], spikes)",
        ("test_choice_on_validation.py", *TASKS),
    ),
    Fault(
        "The test of Markov order has too few degrees of freedom.",
        "markov_order_test", "m**k * (m - 1) ** 2", "m**k * (m - 1)", ("test_order.py",),
    ),
    Fault(
        "The audit of choices counts the burn-in.",
        "choice", '.values == "valid", burn_in:]', '.values == "valid"]', ("test_leaks.py", "test_folds_and_burn_in.py"),
    ),
    Fault(
        "A cell that was moved counts as one that is shared.",
        "cell", 'return "moved" if frozen else "shared"', 'return "shared"', ("test_shared_cells.py",),
    ),
    Fault(
        "A network of another size is the twin of one that shares its cell.",
        "_alone", 'if key not in ("across", "cell")', 'if key not in ("across", "cell", "hidden")', ("test_shared_cells.py",),
    ),
    Fault(
        "The mean over these sessions has the interval of sessions like these.",
        "table", "over_sessions(_paired(sessions))", "across_sessions(sessions)", ("test_shared_cells.py",),
    ),
    Fault(
        "A loss by sharing a cell is told with the ends of its interval exchanged.",
        "_sentence", "-row['high'], -row['low']", "-row['low'], -row['high']", ("test_shared_cells.py",),
    ),
    Fault(
        "Sessions to which a cell was moved are pooled with those that it was learned on.",
        "session", 'f"{s.model} (moved)" if together.cell(s.card["model"]) == "moved" else s.model', "s.model", ("test_shared_cells.py",),
    ),
    Fault(
        "Too much probability is passed over where it lies at the end of the grid.",
        "_grid_sum", "p.sum() > LEAST or not cut_off", "not cut_off", ("test_leaks.py -k excess",),
    ),
    Fault(
        "Correlations of units are weighted by none of their spikes.",
        "Correlations.found", "np.average(r[live], weights=spikes[live])", "r[live].mean()", ("test_correlations.py",),
    ),
    Fault(
        "Correlations hold the bins of the burn-in.",
        "_rates", "pairs[i].add(rate[:, burn_in:][seen[:, burn_in:]], y[:, burn_in:][seen[:, burn_in:]])", "pairs[i].add(rate[seen], y[seen])", ("test_predictions.py",),
    ),
]  # fmt: skip
