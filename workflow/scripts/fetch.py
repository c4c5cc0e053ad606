"""Bring one raw file to the cache."""

from pathlib import Path

from cortseq import fetch, sources
from cortseq.jobs import job

with job(snakemake) as say:
    entry = snakemake.params.entry
    source = sources.find(entry["source"]).model_construct(**entry)
    target = Path(snakemake.output[0])
    fetch.fetch(source, target, snakemake.config.get("mirrors", []))
    say(f"{target}: {target.stat().st_size / 1e6:.1f} MB")
