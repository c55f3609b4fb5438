"""FMA, the Free Music Archive dataset (Defferrard et al., ISMIR 2017), read in its own layout.

`root` holds `fma_metadata/tracks.csv` and the clips in `fma_small/` (or `fma_medium/`, `fma_large/`),
each at `<first three digits>/<six digits>.mp3`. Popularity is the number of listens.
"""

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from hitsong.errors import UserError

CLIP_FOLDERS = ("fma_small", "fma_medium", "fma_large")


class Fma:
    """A copy of the dataset on disk.

    Parameters
    ----------
    settings : hitsong.config.Collect
        Of which `root` is used.

    Raises
    ------
    UserError
        If the folder does not have the dataset's layout.
    """

    notice = None
    planted = None

    def __init__(self, settings):
        root = Path(settings.root).resolve()
        self.metadata = root / "fma_metadata" / "tracks.csv"
        if not self.metadata.is_file():
            raise UserError(
                f"collect.root: {self.metadata} is missing; point collect.root at the folder that holds "
                "fma_metadata/ and fma_small/ (github.com/mdeff/fma tells where to get them)"
            )
        self.clips = next((root / name for name in CLIP_FOLDERS if (root / name).is_dir()), None)
        if self.clips is None:
            raise UserError(f"collect.root: {root} holds none of {', '.join(CLIP_FOLDERS)}")
        self.crawl = f"fma:{root}"

    def collect(self, catalog):
        """Read the metadata into the catalogue, once; returns the number of requests made: none."""
        stat = self.metadata.stat()
        listing = f"{self.crawl}:{stat.st_size}:{stat.st_mtime_ns}"
        if catalog.offset(listing) is None:
            return 0
        table = read_metadata(self.metadata)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with catalog.page():
            for row in table.to_dict("records"):
                row = {name: None if pd.isna(value) else value for name, value in row.items()}
                catalog.put("artists", [{"artist_id": row["artist_id"], "name": row["artist_name"]}])
                catalog.put(
                    "albums",
                    [
                        {
                            "album_id": row["album_id"],
                            "name": row["album_name"],
                            "album_type": row["album_type"],
                            "release_date": row["release_date"],
                            "release_date_precision": row["release_date"] and "day",
                        }
                    ],
                )
                catalog.put_track(
                    {
                        "track_id": row["track_id"],
                        "album_id": row["album_id"],
                        "name": row["name"],
                        "duration_ms": row["duration_ms"],
                        "audio_path": str(self.clip(row["track_id"])),
                        "genre": row["genre"],
                        "licence": row["licence"],
                        "split": row["split"],
                        "popularity": row["listens"],
                        "popularity_source": "fma listens",
                        "fetched_at": now,
                    },
                    [row["artist_id"]],
                )
                catalog.put("members", [{"crawl": self.crawl, "id": row["track_id"]}])
            catalog.advance(listing, None)
        return 0

    def track_ids(self, catalog):
        """Every track of the metadata."""
        return catalog.column("SELECT id FROM members WHERE crawl = ? ORDER BY id", self.crawl)

    def clip(self, track_id):
        """Where a track's clip lies, whether or not it is there."""
        return self.clips / track_id[:3] / f"{track_id}.mp3"


def read_metadata(path):
    """Read FMA's `tracks.csv` under the names of our catalogue.

    Parameters
    ----------
    path : path-like
        The dataset's file, with its two header rows.

    Returns
    -------
    pandas.DataFrame
        One row per track; ids are strings (`track_id` of six digits), durations milliseconds.

    Raises
    ------
    UserError
        If the file is not FMA's table.
    """
    try:
        raw = pd.read_csv(path, index_col=0, header=[0, 1], low_memory=False)
        columns = {
            "name": raw["track", "title"],
            "artist_id": "fma:artist:" + raw["artist", "id"].astype(int).astype(str),
            "artist_name": raw["artist", "name"],
            "album_id": "fma:album:" + raw["album", "id"].astype(int).astype(str),
            "album_name": raw["album", "title"],
            "album_type": raw["album", "type"].str.lower(),
            "release_date": raw["album", "date_released"].str[:10],
            "duration_ms": raw["track", "duration"].astype(int) * 1000,
            "genre": raw["track", "genre_top"],
            "licence": raw["track", "license"],
            "split": raw["set", "split"],
            "listens": raw["track", "listens"].astype(int),
        }
    except (KeyError, ValueError, pd.errors.ParserError) as error:
        raise UserError(f"{path} is not FMA's tracks.csv: {error}") from None
    return pd.DataFrame(
        {
            "track_id": [f"{number:06d}" for number in raw.index],
            **{k: v.to_numpy() for k, v in columns.items()},
        }
    )
