"""Figures, tables, sentences and the report: what a reader sees."""

from mutation.records import Fault

FIGURES = ("test_figures.py", "test_predictions.py -k figures")
TABLES = ("test_report.py", "test_scoring.py -k said")
REPORT = ("test_report.py",)

FAULTS = [
    Fault(
        "A verdict prints the raw p-value as Holm's.",
        "_p", "row[columns.p] if np.isnan(row[columns.p_holm]) else row[columns.p_holm]", "row[columns.p]", TABLES,
    ),
    Fault(
        "A network that is worse than the chain is said to be so by a negative amount.",
        "_numbers", "{abs(gain):.3f}", "{gain:.3f}", TABLES,
    ),
    Fault(
        "A verdict looks at the estimate, not at the lower end of its interval.",
        "outcome", "row[columns.low] > 0 and shown", "row[columns.gain] > 0 and shown", TABLES,
    ),
    Fault(
        "Two restarts are enough for a verdict.",
        "outcome", 'row["members"] < FEWEST_RESTARTS', 'row["members"] < 2', TABLES,
    ),
    Fault(
        "So few blocks that no p can fall below the level are enough for a verdict.",
        "outcome", "row[columns.smallest_p] >= LEVEL", "False", TABLES,
    ),
    Fault(
        "A network that keeps the weights of its first epoch has learned.",
        "learning", 'row["kept_epoch"] <= _SOON', "False", TABLES,
    ),
    Fault(
        "A p that cannot be smaller is written as if it were measured.",
        "p_text", "p > smallest * (1 + 1e-9) or p == 0", "True", TABLES,
    ),
    Fault(
        "Equivalence is declared where there is no verdict.",
        "judged", 'and row["against_chain"] not in _FEW', "", TABLES,
    ),
    Fault(
        "A network that failed is said to be a reference that failed.",
        "summary", 'failed["role"].isin(["markov", "baseline"])', 'failed["role"] != "null"', TABLES,
    ),
    Fault(
        "Networks below the null are credited with beating the chain.",
        "_headline", "_standing(beaten[~beaten", "_standing(networks[~networks", TABLES,
    ),
    Fault(
        "A network is better by its interval alone, without Holm's p-value.",
        "outcome", "_p(row, columns) < LEVEL", "True", TABLES,
    ),
    Fault(
        "The headline says of the rival what is shown against the chain.",
        "_standing", "r[columns.outcome] == found", 'r["against_chain"] == found', TABLES,
    ),
    Fault(
        "The share of the exact filter is upside down.",
        "_headline", "100 * best['value'] / best['ceiling']", "100 * best['ceiling'] / best['value']", TABLES,
    ),
    Fault(
        "The ends of printed intervals change places.",
        "_interval", "[{low:+.3f}, {high:+.3f}]", "[{high:+.3f}, {low:+.3f}]", TABLES,
    ),
    Fault(
        "The gain over the rival is printed with the interval of the gain over the chain.",
        "_main_columns", '"gain_over_rival", "rival_low", "rival_high"', '"gain_over_rival", "gain_low", "gain_high"', TABLES,
    ),
    Fault(
        "The printed table begins with the worst model.",
        "_best_first", 'np.argsort(-rows["value"]', 'np.argsort(rows["value"]', TABLES,
    ),
    Fault(
        "The column of the evaluation null repeats the score.",
        "_OTHER", '"evaluation null": "value_evaluation_null"', '"evaluation null": "value"', TABLES,
    ),
    Fault(
        "Bars of the scores begin at the value.",
        "_panel", 'ax.plot([row["low"], row["high"]], [y, y], color=colour, lw=1.2, solid', 'ax.plot([row["value"], row["high"]], [y, y], color=colour, lw=1.2, solid', FIGURES,
    ),
    Fault(
        "The axis of bits per second is scaled the wrong way.",
        "_panel", "(lambda v: v * scale, lambda v: v / scale)", "(lambda v: v / scale, lambda v: v * scale)", FIGURES,
    ),
    Fault(
        "The order figure draws validation scores.",
        "_chains", 'line["test"],', 'line["valid"],', FIGURES,
    ),
    Fault(
        "Networks in the order figure are drawn at the low end of their interval.",
        "_panel", 'ax.axhline(row["value"]', 'ax.axhline(row["low"]', FIGURES,
    ),
    Fault(
        "The axes of the figure of units change places.",
        "_scatter", "ax.scatter(table[chain], table[network]", "ax.scatter(table[network], table[chain]", FIGURES,
    ),
    Fault(
        "Scores of units are in nats.",
        "per_unit", 'table["spikes"].replace(0, np.nan) * BIT', 'table["spikes"].replace(0, np.nan)', FIGURES,
    ),
    Fault(
        "Bars of the horizon figure change their ends.",
        "_line", '[line["value"] - line["low"], line["high"] - line["value"]]', '[line["high"] - line["value"], line["value"] - line["low"]]', FIGURES,
    ),
    Fault(
        "Bars of the memory figure change their ends.",
        "_panel", '[line["value"] - line["low"], line["high"] - line["value"]]', '[line["high"] - line["value"], line["value"] - line["low"]]', FIGURES,
    ),
    Fault(
        "The predicted rates of a trial are counts per bin, labelled Hz.",
        "_counts", 'p["predicted"].values[valid] / width', 'p["predicted"].values[valid]', FIGURES,
    ),
    Fault(
        "Recorded and predicted units of a trial are in different orders.",
        "_counts", "rate.T[order]", "rate.T", FIGURES,
    ),
    Fault(
        "The numbers of the forgetting matrix are transposed.",
        "_matrix", "ax.text(j, i, text, ha=\"center\", va=\"center\", fontsize=6.5", "ax.text(i, j, text, ha=\"center\", va=\"center\", fontsize=6.5", FIGURES,
    ),
    Fault(
        "The forgetting matrix prints whole intervals for half ones.",
        "_matrix", '(scores["high"] - scores["low"]) / 2', '(scores["high"] - scores["low"])', FIGURES,
    ),
    Fault(
        "The figure of fixed points draws real parts for moduli.",
        "_points", 'np.hypot(one["jacobian_eigenvalues_real"].values, one["jacobian_eigenvalues_imag"].values)', 'np.abs(one["jacobian_eigenvalues_real"].values)', FIGURES,
    ),
    Fault(
        "Figures show the variants that are best on test.",
        "chosen", 'sort_values("valid"', 'sort_values("test"', ("test_folds_and_burn_in.py -k figures_show",),
    ),
    Fault(
        "The report states rates per bin as Hz.",
        "facts", 'valid.sum() / recording.attrs["bin_width"]', "valid.sum()", REPORT,
    ),
    Fault(
        "The report lists the worst model first.",
        "_compared", "ascending=False", "ascending=True", REPORT,
    ),
    Fault(
        "The report says 0 where there is no number.",
        "written", 'return "–"', 'return "0.000"', REPORT,
    ),
    Fault(
        "A value has more decimals than its interval allows.",
        "decimals", "1 - math.floor", "3 - math.floor", REPORT,
    ),
    Fault(
        "Averaged members are listed as models of their own.",
        "grouped", 'and not row["averaged"]', "", REPORT,
    ),
]  # fmt: skip
