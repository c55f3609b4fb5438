"""FMA, the Free Music Archive dataset (Defferrard et al., ISMIR 2017; github.com/mdeff/fma), in its own layout.

`root` holds `fma_metadata/tracks.csv` and the clips in `fma_small/` (or `fma_medium/`, `fma_large/`), each at
`<first three digits>/<six digits>.mp3`. The subsets nest: medium holds small, large holds both. Popularity is the
number of listens, or listens per month on the site, since listens grow with a track's age.
"""

from pathlib import Path

import pandas as pd

from hitsong.collect import history
from hitsong.collect.deduplicate import SCHEMA
from hitsong.collect.filters import select_tracks
from hitsong.errors import UserError

SUBSETS = ["small", "medium", "large"]  # each holds those before it
BROKEN = {"099134", "108925", "133297"}  # files without sound, listed by FMA's authors
POPULARITY_SOURCE = {"listens": "fma listens", "listens_per_month": "fma listens per month"}
SNAPSHOT = "2017-04-01"  # of all files, by the dataset's creation.py; released on 2017-05-09
_DAYS_PER_MONTH = 365.25 / 12


class Fma:
    """A copy of the dataset on disk, as a source.

    Parameters
    ----------
    settings : hitsong.config.Collect
        Without a `subset`, it is that of the largest folder of clips there is.

    Raises
    ------
    UserError
        If the folder does not have the dataset's layout.
    """

    notice = None
    requests = 0

    def __init__(self, settings):
        root = Path(settings.root).resolve()
        self.metadata = root / "fma_metadata" / "tracks.csv"
        if not self.metadata.is_file():
            raise UserError(
                f"collect.root: {self.metadata} is missing; point collect.root at the folder that holds "
                "fma_metadata/ and fma_small/ (github.com/mdeff/fma says where to get them)"
            )
        # A subset's clips lie in its own folder, or in that of a larger one.
        subsets = SUBSETS[SUBSETS.index(settings.subset) :] if settings.subset else SUBSETS[::-1]
        present = [subset for subset in subsets if (root / f"fma_{subset}").is_dir()]
        if not present:
            raise UserError(f"collect.root: {root} holds none of {', '.join(f'fma_{s}' for s in subsets)}")
        self.filters, self.subset = settings, settings.subset or present[0]
        self.clips = root / f"fma_{present[0]}"

    def readings(self, tracks):
        """The one reading of each track, of the day of the dump."""
        return history.of_tracks(tracks, "fma", self.filters.popularity)

    def refresh(self, track_ids):
        """Refuse: a dataset has one reading. Raises UserError."""
        raise UserError("--refresh: FMA's listens were read once, when the dataset was made")

    def planted(self, track_ids):
        """Nothing: these tracks are real."""
        return None

    def collect(self):
        """Every track of the subset that passes the filters; prints how many clips are there, missing and broken."""
        table = read_metadata(self.metadata, self.subset)
        table["audio_path"] = [str(self.clip(track_id)) for track_id in table["track_id"]]
        table["popularity"] = table[self.filters.popularity].astype(float)
        table["popularity_source"] = POPULARITY_SOURCE[self.filters.popularity]
        missing = sum(not Path(path).is_file() for path in table["audio_path"])
        broken = sorted(BROKEN.intersection(table["track_id"]))
        print(
            f"FMA {self.subset}: {len(table):,} tracks; without a clip in {self.clips.name}: {missing:,}; "
            f"with one that is known to be broken: {len(broken)}"
            + (f" ({', '.join(broken)})" if broken else "")
        )
        table = table[[name for name in SCHEMA.names if name in table]]
        return select_tracks(table, self.filters)

    def clip(self, track_id):
        """Where a track's clip lies, whether or not it is there."""
        return self.clips / track_id[:3] / f"{track_id}.mp3"


def read_metadata(path, subset=None):
    """Read FMA's `tracks.csv` under the names of `tracks.parquet`.

    Parameters
    ----------
    path : path-like
        The dataset's file, with its two header rows.
    subset : str, optional
        Of `SUBSETS`; by default every track.

    Returns
    -------
    pandas.DataFrame
        One row per track; ids are strings (`track_id` of six digits), durations milliseconds. `fetched_at` is
        `SNAPSHOT`, or the latest day on which the metadata says that something was added, if that is later (a newer
        dump). `listens_per_month` counts from the day the track came to the site to that day; a month at least.

    Raises
    ------
    UserError
        If the file is not FMA's table, or has no track of the subset.
    """
    try:
        raw = pd.read_csv(path, index_col=0, header=[0, 1], low_memory=False)
        added = raw.xs("date_created", axis="columns", level=1).apply(pd.to_datetime)
        snapshot = max(pd.Timestamp(SNAPSHOT), pd.Timestamp(added.max(axis=None)).normalize())
        months = (snapshot - added["track"]).dt.days / _DAYS_PER_MONTH
        artists = ("fma:artist:" + raw["artist", "id"].astype(int).astype("str")).tolist()
        released = raw["album", "date_released"].str[:10]
        columns = {
            "track_id": [f"{number:06d}" for number in raw.index],
            "name": raw["track", "title"],
            "artist_id": artists,
            "artist_ids": [[artist] for artist in artists],
            "artist_name": raw["artist", "name"],
            "album_id": "fma:album:" + raw["album", "id"].astype(int).astype("str"),
            "album_name": raw["album", "title"],
            "album_type": raw["album", "type"].str.lower(),
            "release_date": released,
            "release_date_precision": released.notna().map({True: "day", False: None}),
            "duration_ms": raw["track", "duration"].astype(int) * 1000,
            "genre": raw["track", "genre_top"],
            "licence": raw["track", "license"],
            "split": raw["set", "split"],
            "fetched_at": f"{snapshot:%Y-%m-%d}",
            "listens": raw["track", "listens"].astype(int),
            "listens_per_month": raw["track", "listens"] / months.clip(lower=1),
        }
        subsets = raw["set", "subset"]
    except (KeyError, ValueError, AttributeError, TypeError, pd.errors.ParserError) as error:
        raise UserError(f"{path} is not FMA's tracks.csv: {error}") from None
    table = pd.DataFrame(columns, raw.index)
    if subset:
        table = table[subsets.isin(SUBSETS[: SUBSETS.index(subset) + 1])]
        if table.empty:
            raise UserError(f"collect.subset: {path} has no track of FMA {subset}")
    return table.reset_index(drop=True)
