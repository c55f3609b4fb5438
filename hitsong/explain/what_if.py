"""What a score becomes when the song's sound, or the excerpt, is another; and which of two versions is on top.

Every change stands beside two errors. The *noise* is how far the score moves when the scored part begins up to a second
earlier or later, which no listener would call another song: smaller changes mean nothing. The *error* is how far the
model is off on songs that it was not trained on: it is far larger, and shared by versions of one song, as far as it
comes from what they have in common (artist, song, release).
"""

from dataclasses import dataclass

import numpy as np

from hitsong.predict.variants import SOUND

CERTAIN = 2.0  # times the noise: smaller differences are within it


@dataclass(frozen=True)
class VariantScores:
    """Scores of a song's variants.

    Attributes
    ----------
    score : float
        Of the song itself.
    noise : float or None
        Root mean square of the score's changes when the part is shifted in time; None if it was not shifted.
    sound : dict of str to float
        Scores by the names in `hitsong.predict.variants.SOUND`.
    curve : list of (float, float)
        Where each excerpt begins in the file [s], and its score; empty for a file without other excerpts.
    """

    score: float
    noise: float | None
    sound: dict
    curve: list

    def beyond_noise(self, score):
        """Whether a score differs from the song's by more than noise."""
        return bool(abs(score - self.score) > CERTAIN * self.noise)


def variant_scores(made, scores):
    """Sort the scores of variants by what was changed.

    Parameters
    ----------
    made : list of hitsong.predict.song_features.Variant
        Of one song; the first is "unchanged".
    scores : array-like [shape=(n,)]
        `hitsong.data.targets.Target.score` of their predictions, in the same order.

    Returns
    -------
    VariantScores
    """
    named = [(variant.name, variant.start, float(score)) for variant, score in zip(made, scores, strict=True)]
    own = named[0][2]
    shifts = [score - own for name, _, score in named if name == "shift"]
    return VariantScores(
        own,
        float(np.sqrt(np.mean(np.square(shifts)))) if shifts else None,
        {name: score for name, _, score in named if name in SOUND},
        [(start, score) for name, start, score in named if name == "excerpt"],
    )


def within_noise(first, second):
    """Whether the scores of two versions differ by no more than the noise of both.

    Parameters
    ----------
    first, second : VariantScores
        With noise.
    """
    return bool(abs(first.score - second.score) <= CERTAIN * np.hypot(first.noise, second.noise))
