"""Families, sources and observations that the contract tests run over: all that the registries know, none by name."""

from typing import get_args

import pytest

from cortseq import models
from cortseq import recording as rec
from cortseq.errors import CortseqError
from cortseq.observations import Mixture, distribution, names
from cortseq.observations.tracks import TRACKS


def recurrent() -> list[str]:
    """Every family of networks."""
    return [name for name, model in models.registry().items() if model.role == "recurrent"]


def trained() -> list[str]:
    """Networks whose cell is learned by gradients, and not held as in a reservoir."""
    return [name for name in recurrent() if not models.registry()[name].reservoir]


def flowing() -> list[str]:
    """Networks whose state is that of a dynamical system."""
    return [name for name in recurrent() if small(name).has_flow]


def restarting() -> list[str]:
    """Networks that remember without end, so that `memory` takes something from them."""
    return [name for name in recurrent() if not models.registry()[name].windowed]


def compiled() -> list[str]:
    """Networks with a compiled cell."""
    return [name for name in trained() if small(name).has_kernel]


def predictors() -> list[str]:
    """Every null, baseline and chain: all families that are no network."""
    return [name for name, model in models.registry().items() if model.role != "recurrent"]


def with_setting(setting: str) -> list[str]:
    """Every family that has a setting of this name."""
    return [name for name, model in models.registry().items() if setting in model.model_fields]


def choices(model, setting: str) -> tuple:
    """What a setting of a few words may be, as its type says."""
    return get_args(model.model_fields[setting].annotation)


def small(family: str, **more):
    """A quick specification of a family."""
    return models.registry()[family].small(**more)


def applicable(family: str, recording_or_track, **more):
    """A quick specification of a family; the test skips what the family says that it does not describe."""
    return described(small(family, **more), recording_or_track)


# What families say that they do not describe: tracks, and observations. Nothing else makes a test skip.
LEFT_OUT = {("lds", "symbols"), ("slds", "symbols")}
REFUSED = {("lds", "conway_maxwell"), ("slds", "conway_maxwell")}


def described(model, recording_or_track):
    """The model; the test skips where it leaves out the track, or refuses the bins, as `LEFT_OUT` and `REFUSED` say."""
    by_name = isinstance(recording_or_track, str)
    track = recording_or_track if by_name else rec.track(recording_or_track)
    if not model.applies(track):
        assert (model.family, track) in LEFT_OUT
        pytest.skip(f"{model.family} does not describe {track}")
    if not by_name:
        try:
            model.check(model.given(recording_or_track))
        except CortseqError as error:
            if (model.family, recording_or_track.attrs.get("observation")) not in REFUSED:
                raise
            pytest.skip(str(error))
    return model


def observations() -> list[str]:
    """Every distribution a bin may be drawn from, over all tracks."""
    return [name for track in TRACKS for name in names(track)]


def emission(name: str, n_features: int, support: int = 0):
    """The numpy face of a distribution."""
    return distribution(name)(n_features, support)


def readout(name: str, n_features: int, support: int = 0, mixture: int = 1):
    """The torch face of a distribution."""
    found = emission(name, n_features, support)
    one = found.readout(found)
    return Mixture(one, mixture) if mixture > 1 else one
