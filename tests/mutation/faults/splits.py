"""Who learns from which trial, and which units are kept."""

from mutation.records import Fault

TESTS = ("test_splits.py", "test_splits_by_hand.py")

FAULTS = [
    Fault(
        "Units are kept by their rate in all trials.",
        "_units", "learned = recording.isel(trial=train)", "learned = recording", TESTS,
    ),
    Fault(
        "Rates of units are per bin, not in Hz.",
        "_units", ' * recording.attrs["bin_width"])', ")", TESTS,
    ),
    Fault(
        "The slowest units are kept where units are too many.",
        "_units", "np.argsort(-rate[kept]", "np.argsort(rate[kept]", TESTS,
    ),
    Fault(
        "Channels are kept where they vary in any trial.",
        "_channels", "learned = recording.isel(trial=train)", "learned = recording", TESTS,
    ),
    Fault(
        "Only test windows are guarded.",
        "_guarded", "out[1:][roles[1:] != roles[:-1]]", 'out[1:][(roles[1:] != roles[:-1]) & (roles[1:] == "test")]', TESTS,
    ),
    Fault(
        "Test trials of the folds are drawn with replacement, not dealt.",
        "_deal_trials", "rng.permutation(deal.folds)[: len(hand)]", "rng.integers(deal.folds, size=len(hand))", TESTS,
    ),
    Fault(
        "Trials are dealt without strata.",
        "_deal_trials", "np.lexsort((rng.permutation(n), strata))", "rng.permutation(n)", TESTS,
    ),
    Fault(
        "The validation share is of the trials that are left, not of all.",
        "_choose", "round(fraction * len(roles))", "round(fraction * len(free))", TESTS,
    ),
    Fault(
        "Every fold has the roles and units of the first.",
        "fold_of", 'manifest["folds"][fold]', 'manifest["folds"][0]', TESTS,
    ),
    Fault(
        "The seed of the study does not change the split.",
        "split", "np.random.default_rng([deal.seed, n])", "np.random.default_rng([0, n])", TESTS,
    ),
    Fault(
        "Windows of few beside those of another role are no guards.",
        "_guard_beside", 'here[(here == "train") & np.isin(there, ("test", "valid"))] = "guard"', "pass", TESTS,
    ),
    Fault(
        "A short recording is tested on its validation share.",
        "_deal_runs", "round(deal.test_fraction * n)", "round(deal.valid_fraction * n)", ("test_field.py -k minute",),
    ),
]  # fmt: skip
