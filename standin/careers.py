"""Careers: how the popularity of recordings changes with time.

At the time t the latent sum of a recording (see `standin.draws`) is

    latent(t) = latent + career(t) - career(REFERENCE)
    career(t) = shape(age) + growth * (EARLY * (1 - exp(-age)) + trend(t)),     ages and times in years,

so at `REFERENCE` popularity is as the shares of the settings say. The shape rises to a peak in the first months, or for
slow burners in the second to fourth year, and then falls. The growth of a recording is drawn as its level is: a sum of
the momentum of its artist, a function of its sound, and noise, each with a share of the variance. It is the only part
of a career that a model of sound can predict.
"""

from datetime import UTC, date, datetime

import numpy as np
import pandas as pd

from standin.draws import draw_components
from standin.taste import momentum

REFERENCE = date(2026, 11, 1)  # when popularity is as the shares of the settings say
YEAR_S = 365.25 * 24 * 3600
EARLY = 1.5  # of growth, in the first years
TREND, REACH = 0.45, 3.0  # of growth, per year around REFERENCE; years until it levels off
SLOW = 0.12  # share of slow burners
ONSET = 2.0  # below the peak, on the day of release
DECAY, HALF = 0.9, 0.5  # after the peak: DECAY * log(1 + years / HALF)
STEP = 1 / 96  # years; of the integral over a career


class Careers:
    """The careers of a world's recordings.

    Parameters
    ----------
    rng : numpy.random.Generator
        Of their own.
    traits : pandas.DataFrame
        One row per recording.
    owners : numpy.ndarray
        Number of the main artist of each recording.
    released : sequence of str
        First release of each recording, a day, month or year.
    shares : hitsong.config.Shares
        Of the variance of growth.
    """

    def __init__(self, rng, traits, owners, released, shares):
        parts = draw_components(rng, momentum(traits), owners, shares)
        names = ["growth_artist_effect", "growth_effect", "growth_noise"]
        self.effects = pd.DataFrame(parts, columns=names)
        self.growth = parts.sum(axis=1)
        self.released = np.array([years((text + "-01-01")[:10]) for text in released])
        slow = rng.random(len(traits)) < SLOW
        self.peak = np.where(
            slow, rng.uniform(1.5, 4, len(traits)), rng.uniform(0.04, 0.25, len(traits))
        )  # years after the release

    def levels(self, when, rows=slice(None)):
        """What careers add to the latent sums of `rows` at times [years since REFERENCE]; -inf before the release."""
        age, peak = when - self.released[rows], self.peak[rows]
        rise = -ONSET * (1 - np.minimum(age / peak, 1)) ** 2
        fall = -DECAY * np.log1p(np.maximum(age - peak, 0) / HALF)
        career = rise + fall + self.growth[rows] * self.gain(when, rows)
        return np.where(age < 0, -np.inf, career)

    def gain(self, when, rows=slice(None)):
        """What a growth of 1 has added to the latent sums of `rows` at times [years since REFERENCE]."""
        age = np.maximum(when - self.released[rows], 0)
        return EARLY * (1 - np.exp(-age)) + TREND * REACH * np.tanh(when / REACH)

    def changes(self, clock):
        """What the latent sums have gained from REFERENCE to a day; 0 on REFERENCE itself [shape=(n,)]."""
        return self.levels(years(clock)) - self.levels(0.0)

    def quantiles(self, row, shares, start):
        """When given shares of a recording's listens from `start` to REFERENCE were made [years since REFERENCE].

        Listens are made at a rate that rises with the exponential of the career.
        """
        times, rates = self._rates(row, start, 0.0)
        listens = np.concatenate([[0.0], np.cumsum(rates)])
        return np.interp(np.asarray(shares) * listens[-1], listens, [*times, 0.0])

    def ratio(self, row, start, first, last):
        """The listens of a recording from `first` to `last` as a share of those from `start` to REFERENCE."""
        return self._rates(row, first, last)[1].sum() / self._rates(row, start, 0.0)[1].sum()

    def _rates(self, row, start, end):
        """Times from `start` (or the release) to `end` in small steps, and the listens in each step, up to a factor."""
        start = max(start, self.released[row])
        count = max(1, round((end - start) / STEP))
        times = start + (end - start) * np.arange(count) / count
        return times, np.exp(self.levels(times, row)) * (end - start) / count


def years(day):
    """Years from REFERENCE to a day [YYYY-MM-DD]."""
    return (date.fromisoformat(day) - REFERENCE).days / 365.25


def timestamps(times):
    """Seconds since 1970 of times in years since REFERENCE."""
    return datetime(REFERENCE.year, REFERENCE.month, REFERENCE.day, tzinfo=UTC).timestamp() + YEAR_S * times
