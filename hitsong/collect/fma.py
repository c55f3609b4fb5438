"""FMA, the Free Music Archive dataset (Defferrard et al., ISMIR 2017), read in its own layout.

`root` holds `fma_metadata/tracks.csv` and the clips in `fma_small/` (or `fma_medium/`, `fma_large/`),
each at `<first three digits>/<six digits>.mp3`. The subsets nest: medium holds small, large holds both.
Popularity is the number of listens, or listens per month on the site, since listens grow with a track's age.
"""

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from hitsong.errors import UserError

SUBSETS = ["small", "medium", "large"]  # each holds those before it
BROKEN = {"099134", "108925", "133297"}  # files that hold no sound; known to FMA's authors
POPULARITY_SOURCE = {"listens": "fma listens", "listens_per_month": "fma listens per month"}
_DAYS_PER_MONTH = 365.25 / 12


class Fma:
    """A copy of the dataset on disk.

    Parameters
    ----------
    settings : hitsong.config.Collect
        Of which `root`, `subset` and `popularity` are used. Without a subset every track of the metadata
        is taken, with the clips of the largest folder there is.

    Raises
    ------
    UserError
        If the folder does not have the dataset's layout.
    """

    notice = None
    planted = None
    percentile = False

    def __init__(self, settings):
        root = Path(settings.root).resolve()
        self.metadata = root / "fma_metadata" / "tracks.csv"
        if not self.metadata.is_file():
            raise UserError(
                f"collect.root: {self.metadata} is missing; point collect.root at the folder that holds "
                "fma_metadata/ and fma_small/ (github.com/mdeff/fma tells where to get them)"
            )
        self.subset, self.popularity = settings.subset, settings.popularity
        # A subset's clips lie in its own folder, or in that of a larger one.
        holding = SUBSETS[SUBSETS.index(self.subset) :] if self.subset else SUBSETS[::-1]
        folders = [root / f"fma_{subset}" for subset in holding]
        self.clips = next((folder for folder in folders if folder.is_dir()), None)
        if self.clips is None:
            raise UserError(f"collect.root: {root} holds none of {', '.join(f.name for f in folders)}")
        self.crawl = f"fma:{root}:{self.subset}"

    def collect(self, catalog):
        """Read the metadata into the catalogue, once; returns the number of requests made: none."""
        stat = self.metadata.stat()
        listing = f"{self.crawl}:{self.clips.name}:{self.popularity}:{stat.st_size}:{stat.st_mtime_ns}"
        if catalog.offset(listing) is not None:
            table = read_metadata(self.metadata, self.subset)
            with catalog.page():
                # Rows of the same tracks may stand there from another state of the metadata, subset or popularity.
                catalog.connection.execute("DELETE FROM progress WHERE list LIKE 'fma:%'")
                catalog.connection.execute("DELETE FROM members WHERE crawl = ?", (self.crawl,))
                self._put(catalog, table)
                catalog.advance(listing, None)
        print(self._clips_there(self.track_ids(catalog)))
        return 0

    def track_ids(self, catalog):
        """Every track of the subset."""
        return catalog.column("SELECT id FROM members WHERE crawl = ? ORDER BY id", self.crawl)

    def clip(self, track_id):
        """Where a track's clip lies, whether or not it is there."""
        return self.clips / track_id[:3] / f"{track_id}.mp3"

    def _put(self, catalog, table):
        now = datetime.now(UTC).isoformat(timespec="seconds")
        for row in table.astype(object).where(table.notna(), None).to_dict("records"):
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
                    "popularity": row[self.popularity],
                    "popularity_source": POPULARITY_SOURCE[self.popularity],
                    "fetched_at": now,
                },
                [row["artist_id"]],
            )
            catalog.put("members", [{"crawl": self.crawl, "id": row["track_id"]}])

    def _clips_there(self, track_ids):
        """A line on what 02 will find: the clips that are there, missing, and known to be broken."""
        missing = sum(not self.clip(track_id).is_file() for track_id in track_ids)
        broken = sorted(BROKEN.intersection(track_ids))
        return (
            f"FMA {self.subset or '(every track of its metadata)'}: {len(track_ids):,} tracks; without a clip in "
            f"{self.clips.name}: {missing:,}; with one that is known to be broken: {len(broken)}"
            + (f" ({', '.join(broken)})" if broken else "")
        )


def read_metadata(path, subset=None):
    """Read FMA's `tracks.csv` under the names of our catalogue.

    Parameters
    ----------
    path : path-like
        The dataset's file, with its two header rows.
    subset : str, optional
        Of `SUBSETS`; the smaller ones are part of the larger. By default every track.

    Returns
    -------
    pandas.DataFrame
        One row per track; ids are strings (`track_id` of six digits), durations milliseconds.
        `listens_per_month` counts from the day the track came to the site to the snapshot, the latest day
        on which the metadata says that something was added; a month at least.

    Raises
    ------
    UserError
        If the file is not FMA's table, or has no track of the subset.
    """
    try:
        raw = pd.read_csv(path, index_col=0, header=[0, 1], low_memory=False)
        added = raw.xs("date_created", axis="columns", level=1).apply(pd.to_datetime)
        months = (added.max(axis=None) - added["track"]).dt.days / _DAYS_PER_MONTH
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
            "listens_per_month": raw["track", "listens"] / months.clip(lower=1),
        }
        subsets = raw["set", "subset"].to_numpy()
    except (KeyError, ValueError, AttributeError, TypeError, pd.errors.ParserError) as error:
        raise UserError(f"{path} is not FMA's tracks.csv: {error}") from None
    table = pd.DataFrame(
        {
            "track_id": [f"{number:06d}" for number in raw.index],
            **{k: v.to_numpy() for k, v in columns.items()},
        }
    )
    if subset:
        table = table[pd.Series(subsets).isin(SUBSETS[: SUBSETS.index(subset) + 1])].reset_index(drop=True)
        if table.empty:
            raise UserError(f"collect.subset: {path} has no track of FMA {subset}")
    return table
