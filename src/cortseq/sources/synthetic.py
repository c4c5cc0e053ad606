"""Recordings made from known laws, each with the exact likelihood of its generator where there is one.

The generators are in `sources/generators/`, one module for each track.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from cortseq._lazy import xr
from cortseq.errors import CortseqError
from cortseq.processes import stationary
from cortseq.sources.base import Source
from cortseq.sources.generators import GENERATORS
from cortseq.sources.generators.base import Track
from cortseq.sources.generators.counts import poisson_hmm, ring_transition
from cortseq.sources.generators.exact import forward_filter, poisson_log_prob, sample_chain, symbol_filter

__all__ = [
    "GENERATORS",
    "SOURCE",
    "Synthetic",
    "forward_filter",
    "poisson_hmm",
    "poisson_log_prob",
    "ring_transition",
    "sample_chain",
    "stationary",
    "symbol_filter",
]


class Synthetic(Source):
    """`source: synthetic`: a kind and the options of its generator."""

    # the options of all generators are checked against their functions, so the model itself lets them pass
    model_config = ConfigDict(
        extra="allow", frozen=True, json_schema_extra=lambda schema: _list_options(schema)
    )

    source: Literal["synthetic"] = "synthetic"
    kind: str = Field(description="which generator")

    @property
    def needs_file(self) -> bool:
        """Whether the entry names a file."""
        return False

    @property
    def early(self) -> tuple[str, ...]:
        """Names of keys in `CUT` that `load` looks at: a generator may have bins of a width."""
        return ("bin_ms",) if "bin_ms" in GENERATORS[self.kind].options else ()

    @property
    def track(self) -> Track:
        """Track of the recording: counts, symbols or signal."""
        return GENERATORS[self.kind].track

    @model_validator(mode="before")
    @classmethod
    def _check_options(cls, entry: Any) -> Any:
        if not isinstance(entry, dict) or "kind" not in entry:
            return entry
        if entry["kind"] not in GENERATORS:
            raise ValueError(f"kind: unknown (got {entry['kind']!r}) -- one of {', '.join(GENERATORS)}")
        options = GENERATORS[entry["kind"]].options
        return {k: v if k in cls.model_fields else _option(k, v, options) for k, v in entry.items()}

    def load(self, file: Path | None, seed: int) -> xr.Dataset:
        """Read the file into a raw Dataset; see `Source.load`."""
        made_by = GENERATORS[self.kind]
        options = dict(self.model_extra or {})
        if "bin_ms" in made_by.options and self.bin_ms is not None:
            options["bin_ms"] = self.bin_ms
        raw = made_by.function(np.random.default_rng(seed), **options)
        latents = {
            str(v).removeprefix("latent_"): raw[v] for v in raw.data_vars if str(v).startswith("latent_")
        }
        for label, name in self.covariates.items():
            if name not in latents:
                raise CortseqError(
                    f"{self.kind} has no such covariate",
                    key=f"covariates.{label}",
                    value=name,
                    fix=f"one of {sorted(latents)}",
                )
            raw[f"covariate_{label}"] = latents[name]
        return raw.drop_vars([f"latent_{name}" for name in latents])


def _list_options(schema: dict[str, Any]) -> None:
    """Put the kinds and the options of every generator into the JSON schema of a synthetic entry."""
    schema["properties"]["kind"]["enum"] = sorted(GENERATORS)
    for kind in GENERATORS.values():
        for name, hint in kind.options.items():
            schema["properties"].setdefault(name, {"title": name, **TypeAdapter(hint).json_schema()})
    schema["additionalProperties"] = False


def _option(key: str, value: Any, options: dict[str, Any]) -> Any:
    if key not in options:
        raise ValueError(f"{key}: unknown option -- one of {', '.join(options)}")
    try:
        return TypeAdapter(options[key]).validate_python(value)
    except ValidationError as error:
        raise ValueError(f"{key}: {error.errors()[0]['msg']} (got {value!r})") from None


SOURCE = Synthetic
