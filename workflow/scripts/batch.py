"""Make the steps of a job that are not made yet, one after another in this process."""

from pathlib import Path

from cortseq import steps
from cortseq.jobs import job

with job(snakemake) as say:
    batch = [steps.Step(**given) for given in snakemake.params.steps]
    how = Path(snakemake.scriptdir), snakemake.threads, snakemake.config
    made, total = steps.make(batch, *how, asked=dict(snakemake.resources.items()), say=say)
    say(f"{made} of {total} steps made, the others were there already")
