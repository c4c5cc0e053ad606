"""The forgetting matrix of one variant over the sessions of the study's sequence."""

from cortseq import models, splits, store
from cortseq.jobs import job
from cortseq.scoring import forgetting

with job(snakemake, may_fail=True) as say:
    study, files = snakemake.params.study, snakemake.input
    names, n_folds = study["sequence"], study["folds"]
    fits, tests = [], []
    for i, (trials, split) in enumerate(zip(files.trials, files.splits)):
        whole, manifest, mine = (
            store.read(trials),
            store.read_json(split),
            slice(i * n_folds, (i + 1) * n_folds),
        )
        fits.append([models.load(file) for file in files.fits[mine]])
        tests.append([])
        for fold, file in enumerate(files.nulls[mine]):
            recording, roles = splits.fold_of(whole, manifest, fold)
            tests[-1].append(forgetting.Tested(recording, roles["test"], models.load(file)))
    table = forgetting.table(names, fits, tests, study["burn_in"], study["seed"])
    store.write_table(table, snakemake.output[0])
    acc, bwt = (table[table["quantity"] == quantity].iloc[0] for quantity in ("ACC", "BWT"))
    say(
        f"ACC {acc['value']:+.4f}, BWT {bwt['value']:+.4f} [{bwt['low']:+.4f}, {bwt['high']:+.4f}] {bwt['metric']}"
    )
