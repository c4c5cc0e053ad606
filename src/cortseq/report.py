"""One self-contained page: what was fitted, to what, what came out, how sure."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cortseq import checks, numbers, references, signs, svg, verdicts
from cortseq import recording as rec
from cortseq._lazy import pd, xr
from cortseq.metrics import METRICS
from cortseq.references import Reference
from cortseq.scoring import ceilings, failures, fit_quality, methods, notes, printed, words


def facts(recording: xr.Dataset, manifest: dict[str, Any]) -> dict[str, Any]:
    """Describe a recording in words and numbers, as rows of the report's table."""
    track, valid = rec.kind(recording), recording["valid"].values
    fold = manifest["folds"][0]
    source = rec.provenance(recording)
    lengths = valid.sum(1)
    rows = {
        "kind": track.words,
        "observation": rec.observation(recording),
        "trials": f"{recording.sizes['trial']} trials of {_range(lengths)} {track.step}s"
        + (", windows cut from a continuous recording" if manifest.get("continuous") else ""),
        "roles": ", ".join(f"{len(fold[r])} {r}" for r in ("train", "valid", "test", "guard") if fold[r])
        + (f", stratified by {manifest['stratified_by']}" if manifest["stratified_by"] else "")
        + (", in the order of time" if manifest.get("split") == "forward" else "")
        + (f"; fold 1 of {len(manifest['folds'])}" if len(manifest["folds"]) > 1 else ""),
        "source": source.get("file") or f"{source.get('source')} ({source.get('kind', '')})",
    }
    if track.has_labels:
        names = ", ".join(recording.attrs.get("labels", []))
        rows["alphabet"] = f"{recording.attrs['n_symbols']} symbols: {names}"
        rows["symbols"] = f"{int(valid.sum())} in all"
    else:
        width = recording.attrs["bin_width"]
        rows["bin"] = f"{width * 1e3:g} ms, {valid.sum() * width:.0f} s in all"
    if track.has_events:
        spikes = rec.spikes(recording)[1].sum(0)[fold["units"]]
        rate = spikes / valid.sum() / recording.attrs["bin_width"]
        places = 1 if rate.min() >= 1 else 2
        slow, middle, fast = (f"{f(rate):.{places}f}" for f in (np.min, np.median, np.max))
        rows["units"] = f"{len(rate)}, {slow} to {fast} Hz (median {middle})"
        dropped = {k: v for k, v in fold["units_dropped"].items() if v}
        if dropped:
            rows["units dropped"] = numbers.counted(dropped)
    if track.has_scale:
        constant = fold["channels_dropped"]["constant"]
        rows["channels"] = str(len(fold["channels"])) + (
            f" ({constant} constant one{'s' * (constant != 1)} dropped)" if constant else ""
        )
    if rec.dirt(recording):
        rows["dirt"] = numbers.counted(rec.dirt(recording))
    for sign in signs.of(recording):
        kind = "warning" if sign.level == "warn" else "note"
        rows[f"{kind}: {sign.name.replace('_', ' ')}"] = sign.sentence()
    if source.get("sha256"):
        rows["sha256"] = source["sha256"]
    return rows


def _range(lengths: np.ndarray) -> str:
    low, high = lengths.min(), lengths.max()
    return str(low) if low == high else f"{low} to {high}"


def render(
    template: Path,
    study: dict[str, Any],
    comparison: pd.DataFrame,
    timing: pd.DataFrame,
    audits: dict[str, dict[str, Any]],
    recordings: dict[str, dict[str, Any]],
    figures: list[dict[str, Any]],
    versions: dict[str, Any],
    cosmoothing: dict[str, pd.DataFrame] | None = None,
    dynamics: dict[str, dict[str, pd.DataFrame]] | None = None,
    failed: Sequence[str] = (),
    remarks: dict[str, list[str]] | None = None,
    claims: pd.DataFrame | None = None,
    pooled: pd.DataFrame | None = None,
    explained: dict[str, str] | None = None,
    made: dict[str, str] | None = None,
    variants: pd.DataFrame | None = None,
) -> str:
    """Return the report as one page of HTML.

    Parameters
    ----------
    template : file of the page, Jinja; what it includes lies beside it.
    study : as plain JSON: its settings, and `epochs`, the most that each variant is trained for.
    comparison, timing : tables of the study.
    audits, recordings : by name of the recording.
    figures : dicts with name, title, caption, dataset ("" for all) and svg text.
    versions : of the software, by name.
    cosmoothing : tables of smoothers by recording.
    dynamics : tables by recording and variant, see `dynamics.summary`.
    failed : a sentence for each thing that could not be made.
    remarks : sentences that stand above the comparison of a recording.
    claims : claims.csv.
    pooled : sessions.csv.
    explained : by recording what inputs and the past explain, for the first lines of the page.
    made : `commit` of the code, `yaml` of the study, `machine`.
    variants : variants.csv.
    """
    summary = [*words.summary(comparison), *_beside(explained or {}, recordings)]
    comparison, _ = failures.split(comparison)
    drawn, styles = _drawn(figures, "title")
    datasets = [
        {
            "name": name,
            "facts": recordings[name],
            **_compared(rows),
            "remarks": [*notes.unequal(rows), *notes.unseeing(rows), *(remarks or {}).get(str(name), [])],
            "claims": _lines(claims, name),
            "audits": audits[name]["audits"],
            "tally": _tally(audits[name]["audits"]),
            **_placed([f for f in drawn if f["dataset"] == name]),
            "dynamics": _dissections((dynamics or {}).get(str(name), {}), rows),
            "cosmoothing": (cosmoothing or {}).get(str(name), pd.DataFrame()).to_dict("records"),
            "timing": timing[timing["dataset"] == name].to_dict("records"),
        }
        for name, rows in comparison.groupby("dataset", sort=False)
    ]
    given: dict[str, Any] = {"study": study, "summary": summary, "failed": failed, "versions": versions}
    given |= {"overall": [f for f in drawn if not f["dataset"]], "made": _UNMADE | (made or {})}
    given["references"] = _cited(study, comparison, dynamics or {})
    given["methods"] = _methods(recordings, comparison, variants, study)
    several = pooled is not None and len(pooled)
    given["pooled"] = printed.pooled_columns(pooled).to_dict("records") if several else []
    return str(_page(template).render(given, datasets=datasets, styles=styles))


def _drawn(figures: list[dict[str, Any]], said: str) -> tuple[list[dict[str, Any]], str]:
    """Return figures with their light SVG, read aloud as the text under `said`, and the rules of styles."""
    styles = svg.Styles()
    return [f | {"svg": svg.light(f["svg"], f["name"], f[said], styles)} for f in figures], styles.css


def _methods(
    recordings: dict[str, dict[str, Any]],
    comparison: pd.DataFrame,
    variants: pd.DataFrame | None,
    study: dict[str, Any],
) -> dict[str, list[str]]:
    """Return the sentences of the methods section by recording."""
    planned = int(comparison["null_p_holm"].notna().sum())
    return {
        str(name): methods.sentences(recordings[name], rows, _of_recording(variants, name), study, planned)
        for name, rows in comparison.groupby("dataset", sort=False)
    }


def _cited(study: dict[str, Any], comparison: pd.DataFrame, dynamics: dict[str, Any]) -> list[Reference]:
    """Return the literature of scores and families; of folds, training and dynamics where there are any."""
    used = ["score", *comparison["family"], *["folds"] * (study["folds"] > 1)]
    used += ["gradient"] * bool(comparison["kept_epoch"].notna().any())
    return references.used([*used, *["dynamics"] * any(dynamics.values())])


def _beside(explained: dict[str, str], recordings: dict[str, dict[str, Any]]) -> list[str]:
    """Return what stands beside the answers: what inputs explain, and what may overturn an answer."""
    said = [f"{name}: {line}" for name, line in explained.items() if line]
    return said + [f"{name}: caution: {line}." for name in recordings for line in _cautions(recordings[name])]


def machine() -> str:
    """Return the system, the kind of processor and the version of Python, for the last lines of the page."""
    return f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"


_UNMADE = {"commit": "", "yaml": "", "machine": ""}
_APART = {"answer": "answer", "recording": "recorded"}  # figures with a place of their own on the page


def _placed(drawn: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of one recording: those with a place of their own, and the others."""
    found: dict[str, Any] = {place: None for place in _APART.values()}
    stem = {f["name"]: f["name"].removesuffix(f"_{f['dataset']}") for f in drawn}
    found |= {_APART[stem[f["name"]]]: f for f in drawn if stem[f["name"]] in _APART}
    return found | {"figures": [f for f in drawn if stem[f["name"]] not in _APART]}


_UNRECORDED = ("lost units", "silent ends")  # warnings of what was probably not recorded, and is scored


def _cautions(facts: dict[str, Any]) -> list[str]:
    """Return the warnings of a recording that may overturn what is said of its past."""
    told = [str(facts[key]) for sign in _UNRECORDED if (key := f"warning: {sign}") in facts]
    note = "; a model that notices what is recorded predicts it, which is neither memory nor dynamics"
    return [said.rstrip(".") + note for said in told]


def _of_recording(table: pd.DataFrame | None, name: Any) -> pd.DataFrame:
    """Return the rows of one recording; none without a table."""
    return pd.DataFrame(columns=["model"]) if table is None else table[table["dataset"] == name]


def _lines(table: pd.DataFrame | None, dataset: Any) -> list[dict[Any, Any]]:
    """Return the rows of one recording, "" for whatever is missing."""
    if table is None:
        return []
    mine = table[table["dataset"] == dataset]
    return mine.astype(object).where(mine.notna(), "").to_dict("records")


def _tally(audits: list[dict[str, Any]]) -> str:
    """Return how many audits passed, those apart that could not be tried or show nothing."""
    empty = [
        a for a in audits if a["passed"] and ("not tried" in a["detail"] or "cannot show" in a["detail"])
    ]
    passed = sum(a["passed"] for a in audits) - len(empty)
    rest = f", {len(empty)} could not be tried or show nothing" if empty else ""
    return f"{passed} of {len(audits)} passed{rest}"


def _compared(rows: pd.DataFrame) -> dict[str, Any]:
    ordered = rows.sort_values("value", ascending=False, kind="stable")
    names = [
        f"{variant.removesuffix('_averaged')} (averaged)" if averaged else variant
        for variant, averaged in zip(ordered["variant"], ordered["averaged"], strict=True)
    ]
    return {
        "rows": ordered.assign(shown=names).to_dict("records"),
        "verdicts": verdicts.grouped(ordered.to_dict("records")),
        "unit": METRICS[rows["metric"].iloc[0]].label,
        "metric": rows["metric"].iloc[0],
        "blocks": printed.blocks(rows),
        "references": notes.references(rows.iloc[0].to_dict()),
    }


def remarks(
    rows: pd.DataFrame,
    observation: str,
    scales: list[pd.DataFrame],
    fits: list[pd.DataFrame],
    network: str,
    continuous: bool = False,
) -> list[str]:
    """Return the sentences on one recording that give its scores a scale.

    Parameters
    ----------
    rows : of comparison.csv, without averages.
    observation : what a bin is drawn from.
    scales : tables of ceilings, one a fold.
    fits : tables of the goodness of fit of all models, one a fold; the first one is told.
    network : variant that is best on validation; "" where there is none.
    continuous : whether trials are windows of a continuous recording, over which a mean response means
        nothing.
    """
    told = bool(scales) and not continuous
    said = [ceilings.sentence(scales, METRICS[rows["metric"].iloc[0]].label)] if told else []
    of_network = [network in str(variant).split("/") for variant in rows["variant"]]
    for model in rows.loc[of_network, "model"] if fits else ():
        found = fits[0][fits[0]["model"] == model]
        said.append(fit_quality.sentence(str(model), found, observation))
    return [sentence for sentence in [*said, *notes.stability(rows)] if sentence]


def _dissections(tables: dict[str, pd.DataFrame], rows: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Return the lines of each table; of a network that learned nothing none is identified or learned."""
    names = rows.loc[rows["learning"] == words.NOTHING, "variant"]
    idle = {part for name in names for part in name.split("/")}
    judged = {
        name: table.assign(verdict="the network learned nothing", learned="") if name in idle else table
        for name, table in tables.items()
    }
    return {name: table.to_dict("records") for name, table in judged.items()}


def theory(template: Path, study: str, sections: list[dict[str, Any]]) -> str:
    """Return the page of phenomena.

    Parameters
    ----------
    sections : dicts with name, claim, checks (a table, see `checks.table`) and svg text.
    """
    every = pd.concat([section["checks"] for section in sections])
    drawn, styles = _drawn([s | {"rows": s["checks"].to_dict("records")} for s in sections], "claim")
    given = {"study": study, "tally": checks.tally(every), "sections": drawn, "styles": styles}
    return str(_page(template).render(given))


def _page(template: Path) -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["num"] = numbers.written
    environment.globals |= {"decimals": numbers.decimals, "interval": numbers.interval}
    environment.globals |= {"short_p": printed.short_p, "p_text": words.p_text}
    environment.filters["sentence"] = _in_code
    environment.filters["breakable"] = _breakable
    return environment.get_template(template.name)


def _breakable(name: str) -> Any:
    """Return a name that may break into lines after its underscores."""
    from markupsafe import Markup, escape

    return Markup(str(escape(name)).replace("_", "_<wbr>"))


def _in_code(text: str) -> Any:
    """Return text with what stands in backquotes as code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))
