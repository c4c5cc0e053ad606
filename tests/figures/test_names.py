"""Names from data are drawn as they are: a pair of dollar signs is no mathematics."""

import pandas as pd

from cortseq.figures import style


def test_names_with_dollar_signs_are_drawn_as_they_are(tmp_path):
    table = pd.DataFrame({"label": ["$\\nonsense{$", "a$b$", "c"], "value": [1.0, 2.0, 3.0]})
    fig, axes = style.figure(1, 1, 3, 2)
    ax = axes[0, 0]
    ax.bar(range(3), table["value"], label=table["label"][0])
    ax.set_xticks(range(3), table["label"])
    ax.set_title("of a$b$")
    ax.set_ylabel(r"$\lambda$")
    ax.legend()
    style.save(fig, table, tmp_path / "x")  # matplotlib would end in an error at \nonsense
    parsed = {
        text.get_text(): text.get_parse_math() for text in [*ax.get_xticklabels(), ax.title, ax.yaxis.label]
    }
    assert parsed == {"$\\nonsense{$": False, "a$b$": False, "c": True, "of a$b$": False, r"$\lambda$": True}
