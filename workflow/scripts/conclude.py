"""Whether all of the study was made; if not say what failed, and remove it: the next run tries it again."""

from pathlib import Path

from cortseq import store
from cortseq.errors import CortseqError
from cortseq.jobs import job
from cortseq.scoring import failures

with job(snakemake) as say:
    failed = store.read_table(snakemake.input.failures)
    for line in failures.sentences(failed):
        say(line)
    if len(failed):
        for file in filter(store.failure, snakemake.input.fallible):
            Path(file).unlink()
        raise CortseqError(
            f"{len(failed)} products of the study could not be made, all others are there",
            file=snakemake.input.failures,
            fix="the report says which and why; the next run tries them again",
        )
    store.write_text("", snakemake.output[0])
