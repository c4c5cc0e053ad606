"""A model and its recording as an estimator of scikit-learn, whose samples are trials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from cortseq._lazy import xr

if TYPE_CHECKING:
    from cortseq.models.base import Model
    from cortseq.models.fit import Fit


class Estimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A model on one recording, for `GridSearchCV`, `cross_val_score` and other tools of scikit-learn.

    The samples X are positions of trials, as arrays of numbers: scikit-learn deals the trials, and everything
    else is read from the recording. `fit` sets a share of the trials aside, on which the model makes its own
    choices (when to stop, how much to smooth); these are never trials that scikit-learn keeps for its scores.
    Trials are taken to be independent. Those of a continuous recording are not: use `cortseq.compare`.

    Parameters
    ----------
    model : specification; its settings are `model__hidden` and so on.
    recording : a Recording.
    valid_fraction : share of the trials of `fit` that the model chooses on, one at least.
    members : random restarts.
    seed : of every random draw.
    device : "auto", "cpu" or "cuda".

    Attributes
    ----------
    fit_ : the Fit of the last call of `fit`.
    """

    fit_: Fit

    def __init__(
        self,
        model: Model,
        recording: xr.Dataset,
        valid_fraction: float = 0.15,
        members: int = 1,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        self.model, self.recording, self.valid_fraction = model, recording, valid_fraction
        self.members, self.seed, self.device = members, seed, device

    def set_params(self, **params: Any) -> Estimator:
        """Change settings and return itself; those of the model replace the model, which cannot be changed.

        Parameters
        ----------
        params : by name, those of the model as `model__hidden`.
        """
        own = [name for name in params if name.startswith("model__")]
        inner = {name.removeprefix("model__"): params.pop(name) for name in own}
        super().set_params(**params)
        self.model = self.model.set_params(**inner)
        return self

    def __sklearn_clone__(self) -> Estimator:
        """Return an estimator that has learned nothing; the recording is shared, not copied."""
        return type(self)(**self.get_params(deep=False))

    def fit(self, X: ArrayLike, y: Any = None) -> Estimator:
        """Fit the model to trials.

        Parameters
        ----------
        X : (trial,) or (trial, 1) positions along `trial`.
        y : ignored: what is predicted stands in the recording.
        """
        trials = np.random.default_rng(self.seed).permutation(_positions(X))
        n_valid = max(1, round(self.valid_fraction * len(trials)))
        valid, train = np.sort(trials[:n_valid]), np.sort(trials[n_valid:])
        self.fit_ = self.model.fit(
            self.recording, train.tolist(), valid.tolist(), self.members, self.seed, self.device
        )
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return expected counts, label probabilities or means, mean over members, (trial, time, feature)."""
        return np.asarray(self.fit_.predict(self.recording, _positions(X)).values.mean(0))

    def score(self, X: ArrayLike, y: Any = None) -> float:
        """Return the gain over the null of the training trials on trials X, (trial,); see `Fit.score`."""
        return self.fit_.score(self.recording, _positions(X))


def _positions(X: ArrayLike) -> np.ndarray:
    """Return positions (trial,) from (trial,) or (trial, 1)."""
    return np.asarray(X, int).reshape(-1)
