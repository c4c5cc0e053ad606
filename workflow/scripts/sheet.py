"""Draw some figures of a study on one sheet, with letters."""

import importlib

from cortseq.figures import sheets, style
from cortseq.jobs import job
from cortseq.products import Products

with job(snakemake, may_fail=True) as say:
    drawers = []
    for key, labels in snakemake.params.panels:
        name = key["figure"]
        figure = importlib.import_module(f"cortseq.figures.{name}").FIGURE
        given = {
            need: list(zip(map(tuple, keys), snakemake.input.get(f"{name}/{need}")))
            for need, keys in labels.items()
        }
        products = Products(key.get("dataset", ""), given)
        with products.blamed():
            found = figure.read(products)
        drawers.append(lambda draw=figure.draw, found=found: draw(**found))
    drawing, table = sheets.draw(sheets.Sheet(**snakemake.params.sheet), drawers)
    style.save(drawing, table, snakemake.output.svg.removesuffix(".svg"))
    say(f"{snakemake.output.svg}: {len(drawers)} panels drawn")
