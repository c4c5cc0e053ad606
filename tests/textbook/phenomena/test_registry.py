"""What every phenomenon of the textbook has, all of them found by their files."""

import importlib
import inspect

import pytest

from cortseq.textbook import phenomena


@pytest.mark.parametrize("name", phenomena.names())
def test_a_phenomenon_is_measured_with_a_seed_and_has_a_figure(name):
    """`settings` are what a study may give; `seed` and `say` are handed in by the workflow."""
    measure = importlib.import_module(f"cortseq.textbook.phenomena.{name}").measure
    parameters = inspect.signature(measure).parameters
    assert list(parameters)[:2] == ["seed", "say"] and measure.__doc__
    left = [key for key in list(parameters)[2:] if parameters[key].default is inspect.Parameter.empty]
    assert not left, "a study without settings for it could not run"
    assert {"seed", "say"}.isdisjoint(phenomena.settings(name))
    figure = importlib.import_module(f"cortseq.textbook.figures.{name}")
    assert len(inspect.signature(figure.draw).parameters) >= 1
