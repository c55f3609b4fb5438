"""Tracks with invented careers: a known share of their growth depends on the sound."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

SHARE = 0.4  # of the variance of growth that the sound decides


@dataclass(frozen=True)
class Careers:
    """Tracks, their sound (four numbers), the part of growth that it decides, and listens or readings over time."""

    tracks: pd.DataFrame
    sound: pd.DataFrame
    planted: pd.Series
    history: pd.DataFrame


def careers(tracks=900, artists=300, share=SHARE, counts=True, seed=0):
    """Invent careers of tracks released over five years.

    Listens of each calendar month (`counts`), or levels read every 30 days, up to the end of 2024.
    """
    rng = np.random.default_rng(seed)
    names = np.array([f"t{i:04}" for i in range(tracks)])
    artist = np.array([f"a{i:03}" for i in rng.integers(artists, size=tracks)])
    released = pd.Timestamp("2019-01-01") + pd.to_timedelta(rng.integers(0, 5 * 365, tracks), "D")
    sound = rng.normal(size=(tracks, 4))
    planted = np.sqrt(share) * sound[:, 0]
    growth = planted + np.sqrt(1 - share) * rng.normal(size=tracks)
    level = rng.normal(6, 1, tracks)
    frame = pd.DataFrame({
        "track_id": names, "artist_id": artist, "artist_ids": [[name] for name in artist], "artist_name": artist,
        "name": names, "duration_ms": 180_000, "release_date": released.strftime("%Y-%m-%d"),
        "fetched_at": "2024-12-31T00:00:00+00:00", "popularity_source": "invented",
        "popularity": np.exp(level + growth), "split": None,
    })  # fmt: skip
    rows = []
    edges = pd.date_range("2019-01-01", "2025-01-01", freq="MS" if counts else "30D")
    for start, end in zip(edges[:-1], edges[1:], strict=True):
        age = ((end - released) / pd.Timedelta(days=30.4375)).to_numpy()
        value = np.exp(level + 0.7 * growth * np.clip((age - 1.5) / 9, 0, 1.5))
        value = rng.poisson(value) if counts else np.log1p(value) * 6 + rng.normal(0, 0.5, tracks)
        alive = age > 0
        rows.append(pd.DataFrame({
            "track_id": names[alive], "source": "invented", "quantity": "listens" if counts else "popularity",
            "value": value[alive].astype(float), "start": start.tz_localize("UTC") if counts else pd.NaT,
            "read_at": end.tz_localize("UTC"),
        }))  # fmt: skip
    index = pd.Index(names, name="track_id")
    history = pd.concat(rows, ignore_index=True)
    history["start"] = pd.to_datetime(history["start"], utc=True)
    history = history[(history["value"] > 0) | ~counts]  # a month without listens has no row
    columns = ["energy", "valence", "danceability", "loudness"]
    return Careers(frame, pd.DataFrame(sound, index, columns), pd.Series(planted, index), history)
