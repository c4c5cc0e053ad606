"""Predict and measure one phenomenon; the module of its name knows how."""

import importlib

from cortseq import store
from cortseq.jobs import job

with job(snakemake) as say:
    phenomenon = importlib.import_module(f"cortseq.textbook.phenomena.{snakemake.wildcards.phenomenon}")
    settings = dict(snakemake.params.settings)
    if "dataset" in settings:
        settings["recording"] = store.read(snakemake.input[0])
        del settings["dataset"]
    store.write(phenomenon.measure(seed=snakemake.params.seed, say=say, **settings), snakemake.output[0])
