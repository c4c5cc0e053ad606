"""The literature of a report: every family has some, and what is cited is whole."""

import re

import pytest

from cortseq import models, references

FREE = {"null", "psth", "drift", "flat", "persistence"}  # means and last bins, of nobody in particular


def test_every_entry_of_the_file_is_read():
    text = references.FILE.read_text(encoding="utf-8")
    assert len(references.every()) == len(re.findall(r"^@", text, re.MULTILINE))
    keys = [one.key for one in references.every()]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("one", references.every(), ids=lambda one: one.key)
def test_an_entry_is_whole(one):
    assert {"author", "title", "year", "keywords"} <= set(one.fields)
    assert one.key.startswith(re.sub(r"\W", "", one.fields["author"].split(",")[0].split()[-1].lower()))
    assert one.fields["year"] in one.key and f"({one.fields['year']})" in one.text
    assert not re.search(r"[{}\\]|--|``|''", one.text) and one.text.count("..") == 0
    assert re.search(r"\d|arXiv", one.text.rsplit(". ", 1)[1])  # a volume, a number or a preprint


def test_every_family_has_literature_and_all_literature_belongs_to_something():
    known = set(models.registry()) | {"score", "folds", "gradient", "dynamics"}
    belongs = set().union(*(one.of for one in references.every()))
    assert belongs <= known
    assert set(models.registry()) - FREE <= belongs


def test_a_report_cites_what_it_used_and_nothing_else():
    keys = [one.key for one in references.used({"lstm", "ctw"})]
    assert keys == ["hochreiter1997long", "willems1995context"]
    assert references.used({"nothing"}) == []
    text = references.used({"selective"})[0].text
    assert text == (
        "Gu, A., Dao, T. (2023). Mamba: linear-time sequence modeling with selective state spaces. arXiv:2312.00752."
    )
