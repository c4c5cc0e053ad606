"""The faults still apply to the source; with `-m slow` they are seeded, and the tests must see them."""

import os
import re
from collections import Counter

import pytest

from mutation import faults, harness, report
from mutation.records import changes_code, place

EVERY = harness.everything()


def test_there_are_faults_in_every_area_and_none_twice():
    assert len(EVERY) >= 160
    assert min(Counter(area for area, _ in EVERY).values()) >= 8
    assert len({fault.breaks for _, fault in EVERY}) == len(EVERY)
    assert len({(f.inside, f.old, f.new) for _, f in EVERY}) == len(EVERY)


@pytest.mark.parametrize("area", faults.areas())
def test_every_fault_applies_to_one_place_and_changes_the_code(area):
    for fault in faults.of(area):
        where = place(fault, harness.ROOT)
        assert changes_code(fault, where), fault.breaks
        assert fault.tests and fault.breaks.endswith("."), fault.breaks


@pytest.mark.parametrize("area", faults.areas())
def test_expressions_choose_a_test(area):
    """The words of "-k A or B" occur in names of tests of the file, where it exists."""
    for fault in faults.of(area):
        for target in fault.tests:
            name, _, expression = target.partition(" -k ")
            files = [f.read_text() for f in (harness.ROOT / "tests").rglob(name)]
            if expression and files:
                names = " ".join(re.findall(r"^def (test\w+)", files[0], re.MULTILINE))
                assert any(word in names for word in expression.split(" or ")), target


@pytest.mark.slow
def test_the_tests_catch_nine_faults_in_ten():
    results = harness.run(EVERY, os.cpu_count() or 1)
    print(report.table(results))
    caught = sum(r.caught for r in results)
    assert caught >= report.LEAST * len(results), [r.breaks for r in results if not r.caught]
    for area, (seen, n) in report.totals(results).items():
        assert seen >= report.LEAST_IN_AREA * n, (area, [r.breaks for r in results if not r.caught])
