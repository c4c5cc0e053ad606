"""Every analysis of the dynamics of one recurrent variant, and the table of what its members agree on."""

from cortseq import models, splits, store
from cortseq.dynamics import calibration, controls, laboratory, summary
from cortseq.jobs import job

with job(snakemake, may_fail=True) as say:
    manifest = store.read_json(snakemake.input.split[0])
    fold = int(snakemake.wildcards.fold)
    recording, roles = splits.fold_of(store.read(snakemake.input.trials[0]), manifest, fold)
    fit = models.load(snakemake.input.fit[0])
    how = roles["train"], roles["test"], snakemake.params.label, snakemake.params.seed, say
    found = laboratory.examine(fit, recording, *how).assign_coords(time=recording["time"].values)
    found.attrs.update(dataset=snakemake.wildcards.dataset, variant=snakemake.wildcards.variant)
    store.write(found, snakemake.output.product)
    say("dynamics: the same of the network before learning")
    before = laboratory.examine(
        controls.untrained(fit, recording), recording, *how, analyses=laboratory.NUMBERS
    )
    shuffled = [store.read(file) for file in snakemake.input.shuffled if store.failure(file) is None]
    beside = {"untrained": before, **({"shuffled": shuffled[0]} if shuffled else {})}
    table = summary.summarise(found, beside)
    again = [store.read_table(file) for file in snakemake.input.refits if store.failure(file) is None]
    store.write_table(calibration.calibrated(table, again) if again else table, snakemake.output.table)
