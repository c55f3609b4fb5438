"""What is predicted: popularity itself, or whether a track is popular.

popularity
    The number as the source gives it (Spotify: 0-100), by regression.
popular
    1 where popularity >= threshold, else 0, by binary classification. The threshold is a fixed number
    or the median of the *training* tracks (study 2: 39), so that nothing is learnt from test.
"""

from dataclasses import asdict, dataclass

import numpy as np

from hitsong.errors import UserError


@dataclass(frozen=True)
class Target:
    """A target with its parameter, as learnt from the training tracks.

    Attributes
    ----------
    kind : str
        "popularity" or "popular".
    threshold : float or None
        Popularity from which a track counts as popular; None for kind "popularity".
    """

    kind: str
    threshold: float | None = None

    def encode(self, popularity):
        """Turn popularity into what models are fitted on.

        Parameters
        ----------
        popularity : array-like [shape=(n,)]

        Returns
        -------
        np.ndarray [shape=(n,), dtype=float32]

        Raises
        ------
        ValueError
            If a value is missing: it would quietly count as not popular.
        """
        popularity = _finite(popularity)
        if self.kind == "popular":
            popularity = popularity >= self.threshold
        return popularity.astype(np.float32)

    def description(self):
        """Describe the target in JSON's types; `Target(**description)` gives it back."""
        return asdict(self)

    def __str__(self):
        return self.kind if self.threshold is None else f"{self.kind} (popularity >= {self.threshold:g})"


def fit(settings, train_popularity):
    """Learn the target's threshold from the training tracks.

    Parameters
    ----------
    settings : config.Target
        The `kind`, and for "popular" the `threshold`: a number or "median".
    train_popularity : array-like [shape=(n_train,)]

    Returns
    -------
    Target

    Raises
    ------
    UserError
        If the threshold puts all training tracks in one class.
    ValueError
        If there are no tracks, or one has no popularity.
    """
    popularity = _finite(train_popularity)
    if len(popularity) == 0:
        raise ValueError("a target needs at least one training track")
    if settings.kind == "popularity":
        return Target("popularity")
    threshold = np.median(popularity) if settings.threshold == "median" else settings.threshold
    target = Target("popular", float(threshold))
    if len(np.unique(target.encode(popularity))) < 2:
        low, high = popularity.min(), popularity.max()
        # A threshold at the minimum makes every track popular, one above the maximum none.
        advice = (
            f"set target.threshold above {low:g} and up to {high:g}"
            if low < high
            else "collect tracks that differ in popularity"
        )
        raise UserError(
            f"target.threshold {settings.threshold}: all {len(popularity)} training tracks lie on one side "
            f"of {threshold:g}, so there is nothing to tell apart; {advice}"
        )
    return target


def _finite(popularity):
    """Popularity as numbers, none missing."""
    popularity = np.asarray(popularity, dtype=float)
    if not np.isfinite(popularity).all():
        raise ValueError("popularity must not be missing: drop such tracks first, as the splits do")
    return popularity
