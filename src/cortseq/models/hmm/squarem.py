"""Leaps along the path of an EM climb (SQUAREM; Varadhan & Roland 2008, Scand J Stat 35:335, scheme S3).

EM converges linearly, and slowly where much is hidden. Two of its steps p0 -> p1 -> p2 say how they shrink,

    r = p1 - p0,    v = (p2 - p1) - r,    p = p0 + 2 a r + a^2 v,    a = |r| / |v|,

and p is where steps that go on shrinking so would end (a = 1: p2 itself). Whether the leap is an ascent is
for the caller to see. Parameters that are positive leap in logarithms, distributions are normalised after it.
"""

from __future__ import annotations

import numpy as np

from cortseq.data import Params

_DISTRIBUTIONS = ("initial", "transition", "probability")
_POSITIVE = (*_DISTRIBUTIONS, "rate", "dispersion", "sd", "start_sd")
_FARTHEST = 300.0  # a logarithm beyond it ends no climb, and its exponential may not be finite


def leap(p0: Params, p1: Params, p2: Params) -> Params:
    """Leap along two steps of EM; return p2 where that goes less far than they, or out of all bounds."""
    a, b, c = (_free(p) for p in (p0, p1, p2))
    r = {k: b[k] - a[k] for k in a}
    v = {k: c[k] - b[k] - r[k] for k in a}
    length = _norm(r) / max(_norm(v), np.finfo(float).tiny)
    far = {k: a[k] + 2 * length * r[k] + length**2 * v[k] for k in a}
    if length <= 1 or not all((np.abs(x) < _FARTHEST).all() for x in far.values()):
        return p2
    return _bound(far)


def _free(p: Params) -> Params:
    return {k: np.log(value) if k in _POSITIVE else value for k, value in p.items()}


def _bound(free: Params) -> Params:
    p = {k: np.exp(value) if k in _POSITIVE else value for k, value in free.items()}
    return p | {k: p[k] / p[k].sum(-1, keepdims=True) for k in _DISTRIBUTIONS if k in p}


def _norm(difference: Params) -> float:
    return float(np.sqrt(sum((x**2).sum() for x in difference.values())))
