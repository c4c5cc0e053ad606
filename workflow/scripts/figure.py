"""Draw one figure, of the study or of a recording, from the products that its entry says it needs."""

import importlib

from cortseq.figures import style
from cortseq.jobs import job
from cortseq.products import Products

with job(snakemake, may_fail=True) as say:
    name, labels = snakemake.wildcards.figure, snakemake.params.labels
    figure = importlib.import_module(f"cortseq.figures.{name}").FIGURE
    given = {need: list(zip(keys, getattr(snakemake.input, need))) for need, keys in labels.items()}
    products = Products(snakemake.wildcards.get("dataset", ""), given)
    with products.blamed():
        drawing, table = figure.draw(**figure.read(products))
    style.save(drawing, table, snakemake.output.svg.removesuffix(".svg"))
    say(f"{snakemake.output.svg}: {len(table)} rows drawn")
