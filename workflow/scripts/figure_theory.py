"""Draw one phenomenon: prediction and measurement in the same axes."""

import importlib

from cortseq import store
from cortseq.figures import style
from cortseq.jobs import job

with job(snakemake) as say:
    found = store.read(snakemake.input[0])
    drawing = importlib.import_module(f"cortseq.textbook.figures.{snakemake.wildcards.phenomenon}")
    with style.style():
        figure, table = drawing.draw(found)
    style.save(figure, table, snakemake.output.svg.removesuffix(".svg"))
    say(f"{snakemake.output.svg}: {len(table)} rows drawn")
