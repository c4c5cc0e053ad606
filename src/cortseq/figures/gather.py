"""What each figure draws, read from the products of a study: one function per figure, by its name."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cortseq import splits, store
from cortseq.scoring import tasks


def comparison_table(out: str) -> pd.DataFrame:
    return store.read_table(f"{out}/comparison.csv")


def _models(out: str) -> pd.DataFrame:
    """The comparison without the rows of averaged members, which are no models of their own."""
    table = comparison_table(out)
    return table[~table["averaged"]]


def _chosen(out: str, dataset: str, role: str) -> pd.DataFrame:
    """Chosen variants of a role on one recording, best on validation first."""
    table = store.read_table(f"{out}/variants.csv")
    mine = table[(table["dataset"] == dataset) & (table["role"] == role) & table["chosen"]]
    return mine.sort_values("valid", ascending=False, kind="stable")


def scores(out: str, dataset: None) -> dict:
    return {"comparison": _models(out)}


def ladder(out: str, dataset: None) -> dict:
    """Averaged members too: a ring in the row of their model."""
    return {"comparison": comparison_table(out)}


def order(out: str, dataset: None) -> dict:
    return {"variants": store.read_table(f"{out}/variants.csv"), "comparison": _models(out)}


def forgetting(out: str, dataset: None) -> dict:
    """Variants that learned sessions one after another, in the order of the study."""
    table = store.read_table(f"{out}/variants.csv").drop_duplicates("variant")
    names = zip(table["dataset"], table["variant"], strict=True)
    specs = {v: store.read_json(f"{out}/fits/{d}/{v}/fold0.json")["model"] for d, v in names}
    carried = [v for v, spec in specs.items() if spec.get("after")]  # a file of another study may lie about
    return {"tables": {v: store.read_table(f"{out}/forgetting/{v}.csv") for v in carried}}


def curves(out: str, dataset: str) -> dict:
    table = store.read_table(f"{out}/variants.csv")
    mine = table[(table["dataset"] == dataset) & (table["role"] == "recurrent")]["variant"]
    event = {"bits_per_spike": "spike", "bits_per_symbol": "symbol", "nats_per_sample": "sample"}
    metric = comparison_table(out).query("dataset == @dataset")["metric"].iloc[0]
    return {
        "curves": {v: store.read_table(f"{out}/fits/{dataset}/{v}/fold0.parquet") for v in mine},
        "event": event[metric],
    }


def trial(out: str, dataset: str) -> dict:
    names = [
        *_chosen(out, dataset, "recurrent")["variant"][:1],
        *_chosen(out, dataset, "markov")["variant"][:1],
    ]
    names = names or ["null"]
    recording = store.read(f"{out}/trials/{dataset}.zarr.zip")
    recording, _ = splits.fold_of(recording, store.read_json(f"{out}/splits/{dataset}.json"), 0)
    stems = {name: f"{out}/predictions/{dataset}/{name}/fold0.zarr.zip" for name in names}
    return {"recording": recording, "predictions": {name: store.read(stem) for name, stem in stems.items()}}


def _dissections(out: str, dataset: str) -> dict:
    names = _chosen(out, dataset, "recurrent")["variant"]
    files = {v: Path(f"{out}/dynamics/{dataset}/{v}/fold0.zarr.zip") for v in names}
    return {"dissections": {v: store.read(f) for v, f in files.items() if f.exists()}}


def units(out: str, dataset: str) -> dict:
    names = [_chosen(out, dataset, role)["variant"].iloc[0] for role in ("recurrent", "markov")]
    files = {name: sorted(Path(f"{out}/scores/{dataset}/{name}").glob("fold*")) for name in ["null", *names]}
    return {"products": {name: [store.read(f) for f in found] for name, found in files.items()}}


def _products(out: str, dataset: str, task: str) -> dict[str, list[Path]]:
    """Files of a task by model, one a fold, in the order of the study."""
    table = store.read_table(f"{out}/variants.csv")
    names = table[table["dataset"] == dataset]["model"].drop_duplicates()
    found = {name: sorted(Path(f"{out}/{task}/{dataset}/{name}").glob("fold*")) for name in names}
    return {name: files for name, files in found.items() if files}


def _metric(out: str, dataset: str) -> str:
    return comparison_table(out).query("dataset == @dataset")["metric"].iloc[0]


def horizon(out: str, dataset: str) -> dict:
    folds = {m: [store.read(f) for f in files] for m, files in _products(out, dataset, "forecasts").items()}
    table = tasks.horizon_table(folds, int(folds["null"][0].attrs["burn_in"]))
    return {"table": table, "metric": _metric(out, dataset)}


def memory(out: str, dataset: str) -> dict:
    tables = []
    for model, files in _products(out, dataset, "memory").items():
        folds = [store.read(f) for f in files]
        tables.append(tasks.memory_rerun(folds, int(folds[0].attrs["burn_in"])).assign(model=model))
    attrs, rows = folds[0].attrs, []
    for model, k, full, short in _retrained(out, dataset):
        continuous, burn_in = bool(attrs["continuous"]), int(attrs["burn_in"])
        row = tasks.memory_retrained(full, short, k, attrs["track"], continuous, burn_in)
        rows.append(row | {"model": model})
    return {"table": pd.concat([*tables, pd.DataFrame(rows)]), "metric": _metric(out, dataset)}


def _retrained(out: str, dataset: str):
    """(model, k, scores of all folds with the whole past, with k bins) of variants that differ in that only."""
    table = store.read_table(f"{out}/variants.csv")
    mine = table[(table["dataset"] == dataset) & (table["role"] == "recurrent")]
    specs = {v: store.read_json(f"{out}/fits/{dataset}/{v}/fold0.json")["model"] for v in mine["variant"]}
    model_of = dict(zip(mine["variant"], mine["model"], strict=True))
    for short, spec in specs.items():
        full = [v for v, other in specs.items() if other == spec | {"memory": None}]
        if spec["memory"] is not None and full:
            folds = (sorted(Path(f"{out}/scores/{dataset}/{v}").glob("fold*")) for v in (full[0], short))
            yield model_of[full[0]], spec["memory"], *([store.read(f) for f in files] for files in folds)


def generation(out: str, dataset: str) -> dict:
    found = _products(out, dataset, "generation")
    return {"table": pd.concat([store.read_table(files[0]).assign(model=m) for m, files in found.items()])}


states = members = points = jacobian_spectra = weight_spectra = lyapunov = twins = gradients = seeds = (
    _dissections
)


def mean_field(out: str, dataset: str) -> dict:
    """Networks of tanh units only."""
    found = _dissections(out, dataset)["dissections"]
    return {"dissections": {name: one for name, one in found.items() if "gain" in one}}


def balance(out: str, dataset: str) -> dict:
    """Networks under Dale's law only."""
    found = _dissections(out, dataset)["dissections"]
    return {"dissections": {name: one for name, one in found.items() if "balance_index" in one}}


def release(out: str, dataset: str) -> dict:
    """Plastic networks only."""
    found = _dissections(out, dataset)["dissections"]
    return {"dissections": {name: one for name, one in found.items() if "efficacy" in one}}


def dynamics_tables(out: str, dataset: str) -> dict[str, pd.DataFrame]:
    """What the members of each chosen recurrent variant agree on."""
    names = _chosen(out, dataset, "recurrent")["variant"]
    files = {v: Path(f"{out}/dynamics/{dataset}/{v}/fold0.csv") for v in names}
    return {v: store.read_table(f) for v, f in files.items() if f.exists()}
