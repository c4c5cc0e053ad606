"""Causal transformer with a finite window: a rival of recurrent networks that remembers nothing older."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from cortseq._lazy import lazy
from cortseq.data import Params
from cortseq.models.work import Size, Work
from cortseq.networks.cell import Count, State
from cortseq.networks.layers import with_number
from cortseq.networks.network import affine, dropped
from cortseq.networks.recurrent import Recurrent

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

_WIDER = 2  # units of the feed-forward part per hidden unit
_BLOCK = 16  # bins that are computed in one block at least, so that short bands make few blocks
_EPSILON = 1e-6  # added to a mean square before its root


class Transformer(Recurrent):
    """Causal transformer: a prediction sees the last `context` bins, and nothing before them.

    With tokens v_0 = the learned start token and v_t = U x_{t-1} + b, layers l = 1 .. L compute

        v_t <- v_t + W_o [sum_s a_h(t, s) V_h n(v_s)]_h,   v_t <- v_t + W_2 (silu(W_g n(v_t)) * (W_1 n(v_t)))
        a_h(t, .) = softmax over s = t - w_l .. t of (Q_h n(v_t)) . (K_h n(v_s)) / sqrt(d) + B_h[t - s]

    and the read-out of bin t sees n(v_t), where n divides by the root mean square over units, and d is the
    width of a head, hidden / heads rounded up.

    The window is exact. In layer l a token attends to itself and to the w_l tokens before it, so that L
    layers together reach back w_1 + .. + w_L tokens; the w_l are as equal as possible and their sum is
    context - 1. Token t itself holds bin t - 1: what is older than bin t - context has no influence. Places
    are told apart by their lag t - s alone, through the learned bias B (heads, w_l + 1), which starts as the
    linear penalty of ALiBi. So a window means the same anywhere in a trial, except that the start token is
    seen while it is inside. A trial shorter than the context is seen whole.

    State: n(v_t) (hidden,); for each layer keys and values of the last w_l tokens (2 w_l heads d,), oldest
    first; how many tokens have been (1,), at most context - 1. It is a store and no dynamical system: such a
    fit has no flow. Dropout of units acts on the read-out and on both branches of every layer.

    Vaswani et al. 2017 NeurIPS; pre-norm: Xiong et al. 2020 ICML; n: Zhang & Sennrich 2019 NeurIPS; gated
    units: Shazeer 2020 arXiv:2002.05202; biases of lags: Press et al. 2022 ICLR, Raffel et al. 2020 JMLR 21.
    """

    rung: ClassVar[str] = "L6'"
    forceable: ClassVar[bool] = False
    windowed: ClassVar[bool] = True

    family: Literal["transformer"] = "transformer"
    context: Annotated[int, Field(ge=2)] = Field(64, description="bins that a prediction sees")
    layers: Count = Field(2, description="layers, each of attention and a feed-forward part")
    heads: Count = Field(4, description="heads of attention in each layer")
    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    hidden_dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.2, description="of both branches of every layer, and of what the read-out sees"
    )

    @classmethod
    def small(cls, **more: object) -> Self:
        """Return a small specification whose window is shorter than the trials of the contract tests."""
        return super().small(**{"context": 8, "heads": 2, **more})

    @model_validator(mode="after")
    def _one_window(self) -> Self:
        if self.memory is not None:
            raise ValueError("memory: a transformer sees `context` bins anyway -- set context, not memory")
        if self.context <= self.layers:
            raise ValueError(
                f"context {self.context} with {self.layers} layers: every layer looks at least one bin back "
                "-- set a context above the number of layers"
            )
        return self

    @property
    def bands(self) -> tuple[int, ...]:
        """How many tokens before its own a token attends to in each layer, w_l; their sum is context - 1."""
        least, more = divmod(self.context - 1, self.layers)
        return tuple(least + (layer < more) for layer in range(self.layers))

    @property
    def attended(self) -> int:
        """Numbers in the queries of all heads, and as many in their keys and in their values."""
        return self.heads * math.ceil(self.hidden / self.heads)

    @property
    def depth(self) -> int:
        """Number of layers."""
        return self.layers

    @property
    def has_weights(self) -> bool:
        """False: what is carried from bin to bin is stored, not multiplied by one matrix."""
        return False

    @property
    def places(self) -> tuple[int, ...]:
        """Both branches of every layer: attention, feed-forward."""
        return (self.hidden,) * (2 * self.layers)

    def start_parameters(
        self, n_in: int, bin_width: float, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Return one member's parameters: matrices (to, from) and, of each layer, B (heads, w_l + 1).

        Matrices are Gaussian with variance 1 / (numbers they read); those that write to the tokens are
        smaller by sqrt(2 layers), so that all layers together add about as much as there was.
        """
        n, wide = self.hidden, _WIDER * self.hidden

        def matrix(rows: int, columns: int, scale: float = 1.0) -> np.ndarray:
            return rng.normal(0, scale / np.sqrt(columns), (rows, columns))

        found = {
            "input_weight": matrix(n, n_in),
            "bias": rng.normal(0, 0.5, n),
            "start": rng.normal(0, 0.5, n),
        }
        slopes = 2.0 ** (-8 * np.arange(1, self.heads + 1) / self.heads)
        small = 1 / math.sqrt(2 * self.layers)
        for layer, band in enumerate(self.bands, 1):
            own = {
                "attend": matrix(3 * self.attended, n),
                "gather": matrix(n, self.attended, small),
                "lag": -slopes[:, None] * np.arange(band + 1),
                "widen": matrix(2 * wide, n),
                "narrow": matrix(n, wide, small),
            }
            found |= with_number(own, layer)
        return found

    # -- the update rule --------------------------------------------------------------------------

    def start(self, q: Params) -> State:
        """Return the state after the start token alone, parts (..., size)."""
        token = q["start"].unsqueeze(-2)  # as of one trial
        sizes = (self.hidden, *(2 * band * self.attended for band in self.bands), 1)
        empty = tuple(token.new_zeros(*token.shape[:-1], size) for size in sizes)
        return tuple(part.squeeze(-2) for part in self.step(q, empty, token))

    def step(self, q: Params, state: State, drive: torch.Tensor) -> State:
        """Return the state one token later; parts (..., trial, size), drive (..., trial, hidden)."""
        return self.dropped_step(q, state, drive, ())

    def dropped_step(
        self, q: Params, state: State, drive: torch.Tensor, kept: Sequence[torch.Tensor]
    ) -> State:
        """Return `step` with both branches of every layer times dropout's factors (..., trial, hidden)."""
        factors = [factor.unsqueeze(-2) for factor in kept]
        return tuple(part[..., 1, :] for part in self.through_time(q, state, drive.unsqueeze(-2), factors))

    def through_time(
        self, q: Params, state: State, drives: torch.Tensor, kept: Sequence[torch.Tensor] = ()
    ) -> State:
        """Return the states before every bin and after the last, parts (..., trial, time + 1, size).

        Keys and values of all bins are views of one array, (..., trial, w_l + time, 2 heads d).
        """
        out, *stores, count = state
        x, later = drives, []
        for layer, store in enumerate(stores, 1):
            attention, feeding = kept[2 * layer - 2 : 2 * layer] if kept else (None, None)
            mixed, store = self._attention(q, layer, _normed(x), store, count)
            x = x + dropped(mixed, attention)
            added = _fed_forward(q[f"widen_{layer}"], q[f"narrow_{layer}"], _normed(x))
            x = x + dropped(added, feeding)
            later.append(store)
        passed = torch.arange(drives.shape[-2] + 1, dtype=count.dtype, device=count.device).unsqueeze(-1)
        counts = (count.detach().unsqueeze(-2) + passed).clamp_max(self.context - 1)
        return (torch.cat([out.unsqueeze(-2), _normed(x)], -2), *later, counts)

    def _attention(
        self, q: Params, layer: int, x: torch.Tensor, store: torch.Tensor, count: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what one layer's heads gather, and its keys and values before every bin and after the last.

        Parameters
        ----------
        x : n(v), (..., trial, time, hidden).
        store : keys and values of the w tokens before them, (..., trial, 2 w heads d).
        count : how many of these have been, (..., trial, 1).

        Returns
        -------
        (..., trial, time, hidden) and (..., trial, time + 1, 2 w heads d).
        """
        band, n, time = self.bands[layer - 1], self.attended, x.shape[-2]
        query, new = affine(q[f"attend_{layer}"], None, x).split((n, 2 * n), -1)
        known = torch.cat([store.unflatten(-1, (band, 2 * n)), new], -2)
        block = max(1, min(time, max(band, _BLOCK)))
        short = max(1, math.ceil(time / block)) * block - time  # bins that fill up the last block
        query, padded = (torch.nn.functional.pad(part, (0, 0, 0, short)) for part in (query, known))
        keys, values = (self._windows(part, band + block, block) for part in padded.split(n, -1))
        query = query / math.sqrt(n // self.heads)
        scores = self._windows(query, block, block).mT @ keys
        scores = scores + _by_lag(q[f"lag_{layer}"], block, scores.ndim)
        absent = torch.arange(padded.shape[-2], device=x.device) < band - count
        absent = absent.unfold(-1, band + block, block).unsqueeze(-3).unsqueeze(-2)
        weights = scores.masked_fill(absent, -torch.inf).softmax(-1)
        gathered = (weights @ values.mT).movedim(-4, -2).flatten(-2).flatten(-3, -2)[..., :time, :]
        stores = known.flatten(-2).unfold(-1, 2 * band * n, 2 * n)
        return affine(q[f"gather_{layer}"], None, gathered), stores

    def _windows(self, x: torch.Tensor, size: int, step: int) -> torch.Tensor:
        """Return stretches of `size` bins that begin every `step` bins, for each head.

        From (..., time, heads d) to (..., heads, stretch, d, size).
        """
        found: torch.Tensor = x.unflatten(-1, (self.heads, -1)).movedim(-2, -3).unfold(-2, size, step)
        return found

    # -- costs ------------------------------------------------------------------------------------

    @property
    def products(self) -> int:
        """Multiplications of one step of one trial: by matrices, and of a query with every key and value."""
        matrices = self.layers * self.hidden * (4 * self.attended + 3 * _WIDER * self.hidden)
        return matrices + 2 * self.attended * (self.context - 1 + self.layers)

    def work(self, size: Size) -> Work:
        """Return the arithmetic of all epochs; "pass": layers that pass over all bins of a batch at once."""
        epochs = size.members * self.epochs
        passed = epochs * size.passed
        pairs = self.heads * (self.context - 1 + self.layers)
        return {
            "fit": float(size.members),
            "pass": float(epochs * math.ceil(size.train / self.batch) * self.layers),
            "unit": float(passed * (self.layers * self.hidden + pairs)),
            "product": float(passed * (self.products + 2 * self.hidden * size.features)),
        }


def _normed(x: torch.Tensor) -> torch.Tensor:
    """Return x (..., hidden) divided by its root mean square over units."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + _EPSILON)


def _fed_forward(widen: torch.Tensor, narrow: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return W_2 (silu(W_g x) * (W_1 x)), (..., hidden); `widen` holds the rows of W_g, then of W_1."""
    gate, value = affine(widen, None, x).chunk(2, -1)
    return affine(narrow, None, torch.nn.functional.silu(gate) * value)


def _by_lag(bias: torch.Tensor, block: int, n_axes: int) -> torch.Tensor:
    """Return B_h[t - s] of the bins t of a block and the bins s it may see, -inf outside 0 <= t - s <= w.

    Parameters
    ----------
    bias : B (heads, w + 1), or with members first.
    block : bins of a block; it may see the w before it, too.
    n_axes : of the scores it is added to.

    Returns
    -------
    (heads, 1, block, w + block), or (member, 1, .., heads, 1, block, w + block).
    """
    band = bias.shape[-1] - 1
    row, column = torch.arange(block, device=bias.device), torch.arange(band + block, device=bias.device)
    lag = band + row.unsqueeze(1) - column
    found = bias[..., lag.clamp(0, band)].masked_fill((lag < 0) | (lag > band), -torch.inf).unsqueeze(-3)
    if bias.ndim == 2:
        return found
    return found.reshape(len(bias), *(1,) * (n_axes - 5), *found.shape[1:])


MODEL = Transformer
