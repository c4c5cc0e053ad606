"""data/README.md says of every recording of the shipped studies what it is, whose, and how it is got."""

import importlib.util
import re
from pathlib import Path

import pytest

from cortseq import store, study

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def inventory():
    spec = importlib.util.spec_from_file_location("inventory", ROOT / "data/inventory.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current(inventory):
    assert inventory.PAGE.read_text(encoding="utf-8") == inventory.page(), "run python data/inventory.py"


def test_every_recording_says_what_it_is_and_whose(inventory):
    for file in inventory.studies():
        for name, source in study.read(file).datasets.items():
            if source.needs_file and source.path:
                assert source.what and source.cite and source.licence, f"{file.name}: {name}"
                fetched = source.url or source.package
                assert fetched or "Not fetched" in source.cite, f"{file.name}: {name} cannot be had by anyone"
                made = re.search(r"data/\w+\.py", source.cite)
                assert fetched or (made and (ROOT / made[0]).is_file()), f"{file.name}: {name} has no script"
                assert source.sha256 or source.package, f"{file.name}: {name} has no digest"
                assert not source.url or source.url.startswith("https://")


def test_digests_are_those_of_the_mirror(inventory, mirror):
    for path, entry in inventory.recordings().items():
        if "sha256" in entry:
            files = list(mirror.rglob(Path(path).name))
            assert not files or entry["sha256"] in {store.sha256(file) for file in files}, path
