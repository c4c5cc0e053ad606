"""How alike two signals are as sets of states and in their rhythms, whatever the order of their values.

The measures by which reconstructions of dynamical systems are judged: Koppe et al. 2019, PLoS Comput Biol
15:e1007263; Mikhaeil et al. 2022, arXiv:2110.07238; Hess et al. 2023, arXiv:2306.04406. They say nothing of
the prediction of any bin, and are reported beside the likelihood, not in its place.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from cortseq.errors import CortseqError

FINE, FINE_UP_TO = 30, 3  # cells a channel at most, of up to so many channels
COARSE, COARSE_UP_TO = 8, 5  # the same of more; of even more channels states are smoothed and not counted
PER_CELL = 3  # recorded states, on average, for which the grid is made coarser where there are few
EMPTY = 1e-5  # states that a cell holds where none was seen
WIDTH = 1.0  # of the smoothing, in standard deviations of the recorded channel
MOST = 2000  # states that are smoothed, evenly spaced


def state_space_divergence(made: ArrayLike, recorded: ArrayLike) -> float:
    """Return the divergence of Kullback and Leibler from recorded to generated states, nats; 0 is best.

    `D = sum_k p_k log(p_k / q_k)`, p and q the shares of recorded and of generated states in the cells k of a
    grid over the range of the recorded ones: 30 cells a channel up to three channels, 8 up to five, as in the
    literature, and fewer where there would be less than three recorded states a cell. Generated states
    outside of the range lie in a cell of their own, and an empty cell counts as 1e-5 states. For more
    channels p and q are mixtures of Gaussians around 2,000 states each, one standard deviation wide, and D is
    the mean of `log(p / q)` over the recorded ones. Channels are divided by their recorded standard
    deviation.

    Parameters
    ----------
    made, recorded : (state, channel).

    Raises
    ------
    CortseqError : numbers of channels that differ, or no state.
    """
    q, p = np.asarray(made, dtype=np.float64), np.asarray(recorded, dtype=np.float64)
    if q.ndim != 2 or p.ndim != 2 or q.shape[1] != p.shape[1] or not len(p) * len(q):
        raise CortseqError("states are (state, channel), of equal channels", value=(q.shape, p.shape))
    scale = np.where(p.std(0) > 0, p.std(0), 1.0)
    p, q = (p - p.mean(0)) / scale, (q - p.mean(0)) / scale
    return _smoothed(p, q) if p.shape[1] > COARSE_UP_TO else _counted(p, q)


def _counted(p: np.ndarray, q: np.ndarray) -> float:
    most = FINE if p.shape[1] <= FINE_UP_TO else COARSE
    cells = int(np.clip((len(p) / PER_CELL) ** (1 / p.shape[1]) + 1e-9, 2, most))
    low, width = p.min(0), np.where(np.ptp(p, 0) > 0, np.ptp(p, 0), 1.0)

    def shares(states: np.ndarray) -> np.ndarray:
        place = (states - low) / width
        inside = ((place >= 0) & (place <= 1)).all(1)
        at = np.minimum((place[inside] * cells).astype(np.int64), cells - 1)
        index = np.ravel_multi_index(tuple(at.T), (cells,) * p.shape[1])
        within = np.bincount(index, minlength=cells ** p.shape[1])
        counts = np.append(within, len(states) - inside.sum()) + EMPTY
        return np.asarray(counts / counts.sum())

    recorded, made = shares(p), shares(q)
    return float((recorded * np.log(recorded / made)).sum())


def _smoothed(p: np.ndarray, q: np.ndarray) -> float:
    from scipy.spatial.distance import cdist
    from scipy.special import logsumexp

    p, q = (states[np.linspace(0, len(states) - 1, min(MOST, len(states))).astype(int)] for states in (p, q))

    def density(around: np.ndarray) -> np.ndarray:  # log, up to a constant that p and q share
        return np.asarray(
            logsumexp(-cdist(p, around, "sqeuclidean") / (2 * WIDTH**2), 1) - np.log(len(around))
        )

    return float((density(p) - density(q)).mean())


def hellinger(made: ArrayLike, recorded: ArrayLike, smoothing: float = 0.0) -> float:
    """Return the mean over channels of the Hellinger distance of power spectra; 0 is best, 1 worst.

    `H = sqrt(1 - sum_f sqrt(F_f G_f))`, F and G the shares of the power at frequency f. The power of one
    long run is as noisy as it is large at every frequency, so that two runs of one system differ too: the
    literature smooths spectra first.

    Parameters
    ----------
    made, recorded : (frequency, channel), power, not negative.
    smoothing : standard deviation of a Gaussian kernel over frequencies, in numbers of them; 0: none.
    """
    from scipy.ndimage import gaussian_filter1d

    f, g = (np.asarray(power, dtype=np.float64) for power in (made, recorded))
    if smoothing:
        f, g = (gaussian_filter1d(power, smoothing, axis=0) for power in (f, g))
    f, g = (power / np.where(power.sum(0) > 0, power.sum(0), 1.0) for power in (f, g))
    return float(np.sqrt(np.clip(1 - np.sqrt(f * g).sum(0), 0, 1)).mean())
