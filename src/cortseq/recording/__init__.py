"""The Recording: an `xarray.Dataset` with a checked schema.

====================  =======================  ==================================================
variable              dims                     meaning
====================  =======================  ==================================================
``counts``            trial, time, unit        spikes per bin, integers >= 0      (track "counts")
``symbols``           trial, time              labels 0 .. n_symbols-1            (track "symbols")
``signal``            trial, time, channel     real values                        (track "signal")
``valid``             trial, time              bool, False where there is no data
``inputs``            trial, time, input       optional: series that models see, each at its time
``true_rates``        trial, time, unit        optional: the generator's expected counts per bin
``ceiling``           trial, time              optional: exact log p(y_t | y_<t) of the generator, nats
====================  =======================  ==================================================

Exactly one of the first three is there. Coordinates: ``time`` (s, left edge of the bin within the
trial), ``unit`` / ``channel`` (names), ``trial`` (0..n-1); ``start`` and ``stop`` (trial; s, the raw
interval a trial covers) where a recording is continuous. Covariates are further coordinates along
``trial`` or ``(trial, time)``, listed in ``attrs["covariates"]``: they label and stratify; of the models
only the PSTH sees them. Attributes: ``bin_width`` (s; symbols: 1.0, a step), ``continuous`` (0 or 1:
windows cut from one stretch of time), ``n_symbols``, ``provenance`` (JSON text), ``dirt`` (JSON text: what
was dropped and how much). Counts also have ``observation``, the distribution that every model of a study
gives them (one of `cortseq.observations.names`), and ``support`` where that distribution is over 0 ..
support.
"""

from cortseq.recording.build import from_counts, from_drawn, from_signal, from_spikes, from_symbols
from cortseq.recording.contents import (
    blocks,
    check,
    compact,
    dirt,
    features,
    is_outcome,
    kind,
    observation,
    observations,
    positions,
    provenance,
    spikes,
    track,
    trial_labels,
    with_observation,
)
from cortseq.recording.from_arrays import from_xarray
from cortseq.recording.pynapple import from_pynapple, to_pynapple

__all__ = [
    "blocks",
    "check",
    "compact",
    "dirt",
    "features",
    "from_counts",
    "from_drawn",
    "from_pynapple",
    "from_signal",
    "from_spikes",
    "from_symbols",
    "from_xarray",
    "is_outcome",
    "kind",
    "observation",
    "observations",
    "positions",
    "provenance",
    "spikes",
    "to_pynapple",
    "track",
    "trial_labels",
    "with_observation",
]
