"""Random draws behind a genre: the owner, the traits and the effects of each recording.

A recording's popularity rises with a latent sum of three uncorrelated, standardised components,

    latent = sqrt(artist) * artist effect + sqrt(audio) * appeal(traits) + sqrt(noise) * noise,

weighted by the shares of the settings. Over a genre's recordings each component has mean 0 and variance 1 and no two
are correlated, so the shares of variance are exactly as set. The artist effect is independent of the artist's sound,
and `appeal` is a fixed function: a model of audio can predict artists that it was not trained on only by `appeal`.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import ndtr

from standin.composer import Traits
from standin.taste import appeal


class Genre(NamedTuple):
    """A genre's share of the size asked for, and its traits' distance from average in standard deviations."""

    size: float
    tempo: float = 0.0
    brightness: float = 0.0
    percussion: float = 0.0
    loudness: float = 0.0
    voice: float = 0.0
    density: float = 0.0


GENRES = {
    "mandopop": Genre(1.0, tempo=-0.2, voice=0.3),
    "hip-hop": Genre(0.5, tempo=-0.3, percussion=0.7, loudness=0.3, density=-0.2),
    "pop": Genre(0.5, tempo=0.2, brightness=0.2, percussion=0.2, loudness=0.3, voice=0.3),
    "rock": Genre(0.5, tempo=0.3, brightness=0.3, percussion=0.3, loudness=0.6, density=0.3),
    "classical": Genre(
        0.3, tempo=-0.3, brightness=-0.4, percussion=-1.6, loudness=-1.0, voice=-1.0, density=0.3
    ),
    "jazz": Genre(0.3, brightness=-0.3, percussion=-0.3, loudness=-0.5, voice=-0.4, density=0.6),
    "country": Genre(0.3, percussion=-0.2, voice=0.5),
    "electronic": Genre(
        0.3, tempo=0.5, brightness=0.5, percussion=0.6, loudness=0.5, voice=-0.7, density=0.4
    ),
    "reggae": Genre(0.3, tempo=-0.8, brightness=-0.2, percussion=0.3),
}

LIKENESS = 0.3  # share of a trait's variance that an artist's recordings have in common


def draw_owners(rng, recordings, artists):
    """Main artist of each recording: each artist has one, few have many, none has much more than 8 %."""
    cap = max(int(0.08 * recordings), 2 * -(-recordings // artists))
    weights = rng.lognormal(0, 0.9, artists)
    counts = np.ones(artists, dtype=int)
    draws = rng.random(recordings - artists)
    while len(draws):
        chances = np.cumsum(weights * (counts < cap))
        picks = np.searchsorted(chances / chances[-1], draws, side="right")
        used = 0
        for pick in picks:
            counts[pick] += 1
            used += 1
            if counts[pick] == cap:
                break  # from here on, the others are more probable
        draws = draws[used:]
    return np.repeat(np.arange(artists), counts)


def draw_traits(rng, genre, owners):
    """Traits of every recording: the genre's average, the artist's style, and the song itself."""
    means = np.array(GENRES[genre][1:])
    style = rng.standard_normal((owners.max() + 1, len(means)))[owners]
    song = rng.standard_normal((len(owners), len(means)))
    z = means + np.sqrt(LIKENESS) * style + np.sqrt(1 - LIKENESS) * song
    levels = pd.DataFrame(ndtr(z[:, 1:]), columns=Genre._fields[2:])
    head = {
        "tempo": np.clip(112 + 24 * z[:, 0], 56, 190),
        "key": rng.integers(12, size=len(owners)),
        "mode": (rng.random(len(owners)) < 0.6).astype(int),
    }
    return pd.DataFrame(head).join(levels)[list(Traits._fields)]


def draw_effects(rng, traits, owners, shares):
    """The three components of the latent sum, standardised, uncorrelated and weighted."""
    return pd.DataFrame(
        draw_components(rng, appeal(traits), owners, shares),
        columns=["artist_effect", "audio_effect", "noise"],
    )


def draw_components(rng, audio, owners, shares):
    """Components of artist, audio and noise, each standardised and times the root of its share [shape=(n, 3)].

    Parameters
    ----------
    rng : numpy.random.Generator
    audio : numpy.ndarray
        A function of the traits [shape=(n,)].
    owners : numpy.ndarray
        Number of the main artist of each recording.
    shares : hitsong.config.Shares
    """
    audio = _standardise(audio)
    # Artist effects may by chance go with the artists' average of the audio component: take that out at the level of
    # the artists, so that the audio component stays a pure function of the traits.
    effect = rng.standard_normal(owners.max() + 1)
    average = pd.Series(audio).groupby(owners).transform("mean").to_numpy()
    artist = _standardise(_residual(effect[owners], average))
    noise = _standardise(_residual(rng.standard_normal(len(owners)), artist, audio))
    return np.column_stack([artist, audio, noise]) * np.sqrt([shares.artist, shares.audio, shares.noise])


def _standardise(values):
    return (values - values.mean()) / values.std()


def _residual(values, *others):
    """`values` less their projection on a constant and the others."""
    basis = np.column_stack([np.ones(len(values)), *others])
    return values - basis @ np.linalg.lstsq(basis, values, rcond=None)[0]
