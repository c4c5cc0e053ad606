"""Draw one figure of the study (rule figure_*); the module of the same name knows how."""

import importlib

from cortseq.figures import gather, style
from cortseq.jobs import job

with job(snakemake) as say:
    name = snakemake.params.figure
    arguments = getattr(gather, name)(snakemake.params.out, snakemake.wildcards.get("dataset"))
    figure, table = importlib.import_module(f"cortseq.figures.{name}").draw(**arguments)
    style.save(figure, table, snakemake.output.svg.removesuffix(".svg"))
    say(f"{snakemake.output.svg}: {len(table)} rows drawn")
