"""A table of tracks: CSV, TSV or Parquet, published or one's own, with a line per column that is named otherwise.

The tables that circulate differ in everything but their idea, so this reader is patient: it finds the
separator, takes R's row names, `NA` and decimal commas for what they are, and reads artists written as a
Python list (``['A', 'B']``). Of what it cannot use it says how many rows there were.
"""

import ast
import hashlib
import json
import lzma
import re
import warnings
import zipfile
import zlib
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import soundfile

from hitsong.collect.deduplicate import normalised
from hitsong.config import AUDIO_FEATURES, TABLE_COLUMNS, nearest
from hitsong.errors import UserError

# What stands for nothing: R's and pandas' ways. A title may well be "None" or "null", so those stay.
MISSING = ["", "NA", "NaN", "nan"]
SIDES = {
    "train": "training", "training": "training", "test": "test",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
}  # fmt: skip
_TRUTH = {"true": 1, "t": 1, "yes": 1, "1": 1, "1.0": 1, "false": 0, "f": 0, "no": 0, "0": 0, "0.0": 0}
_ALBUM = ["album_type", "release_date", "release_date_precision"]
_TRACK = [
    "track_id", "name", "duration_ms", "explicit", "isrc", "preview_url", "audio_path", "genre", "licence",
    "split", "popularity",
]  # fmt: skip
_TEXT = ["name", "album_id", "album_name", "album_type", "genre", "licence"]
_DATE = r"^\s*(\d{4}(?:-(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|[12]\d|3[01]))?)?)(?!\d)"
_PRECISION = {4: "year", 7: "month", 10: "day"}
_LONGEST_MS = 24 * 3600 * 1000
_FILE_NAME = r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}"  # ids name the files of previews
_BROKEN_FILE = (
    OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, pd.errors.ParserError,
    pd.errors.ParserWarning,
)  # fmt: skip


class TableFile:
    """A table of tracks on disk.

    Parameters
    ----------
    settings : hitsong.config.Collect
        Of which `table` is used.

    Raises
    ------
    UserError
        If there is no such file.
    """

    notice = None
    planted = None
    percentile = False

    def __init__(self, settings):
        self.settings = settings.table
        self.path = Path(self.settings.path).resolve()
        if not self.path.is_file():
            raise UserError(f"collect.table.path: {self.path} is no file; name a CSV, TSV or Parquet table")
        self.crawl = f"table:{self.path}"

    def collect(self, catalog):
        """Read the table into the catalogue, once; returns the number of requests made: none."""
        stat = self.path.stat()
        settings = json.dumps(self.settings.model_dump(), sort_keys=True)
        listing = f"{self.crawl}:{stat.st_size}:{stat.st_mtime_ns}:{settings}"
        if catalog.offset(listing) is None:
            return 0
        tracks, remarks = read(self.path, self.settings)
        with catalog.page():
            # Rows of the same tracks may stand there from another state of this table, or from another table.
            catalog.connection.execute("DELETE FROM progress WHERE list LIKE 'table:%'")
            catalog.connection.execute("DELETE FROM members WHERE crawl = ?", (self.crawl,))
            self._put(catalog, tracks)
            catalog.advance(listing, None)
        for remark in remarks:
            print(f"{self.path.name}: {remark}")
        return 0

    def track_ids(self, catalog):
        """Every track of the table."""
        return catalog.column("SELECT id FROM members WHERE crawl = ? ORDER BY id", self.crawl)

    def _put(self, catalog, tracks):
        now = datetime.now(UTC).isoformat(timespec="seconds")
        for row in tracks.astype(object).where(tracks.notna(), None).itertuples(index=False):
            credits = zip(row.artist_ids, row.artist_names, strict=True)
            catalog.put("artists", ({"artist_id": id_, "name": name} for id_, name in credits))
            album = {name: getattr(row, name) for name in _ALBUM}
            # Dates live with albums: a track that names no album gets one of its own.
            album_id = row.album_id or (
                f"table:album:{row.track_id}" if any(album.values()) or row.album_name else None
            )
            if album_id:
                catalog.put("albums", [{"album_id": album_id, **album, "name": row.album_name}])
            catalog.put_track(
                {
                    **{name: getattr(row, name) for name in _TRACK},
                    "album_id": album_id,
                    "popularity_source": self.settings.popularity_source,
                    "fetched_at": now,
                },
                row.artist_ids,
            )
            features = {name: getattr(row, name) for name in AUDIO_FEATURES}
            catalog.put_features(row.track_id, {k: v for k, v in features.items() if v is not None})
            catalog.put("members", [{"crawl": self.crawl, "id": row.track_id}])


def read(path, settings):
    """Read a table under the names of our catalogue.

    Parameters
    ----------
    path : pathlib.Path
    settings : hitsong.config.Table

    Returns
    -------
    tracks : pandas.DataFrame
        One row per track id, in the order of the file; the columns `TABLE_COLUMNS` and
        `release_date_precision`, None (NaN in numbers) where a value is missing. `artist_names` and
        `artist_ids` are equally long lists, main artist first.
    remarks : list of str
        What the user should know: how many rows were left out or put together, and why.

    Raises
    ------
    UserError
        If the file is no table, lacks a column that it must have, or has no row with a popularity
        and something to tell the track by.
    """
    raw, decimal = _raw(path)
    cells = _chosen(raw, settings.columns, path)
    remarks = []

    popularity = _numbers(cells["popularity"], decimal)
    if popularity.isna().all():
        found = cells["popularity"].dropna()
        shown = f", for example {found.iat[0]!r}" if len(found) else ""
        raise UserError(f"{path.name}: no row has a number for popularity{shown}; see collect.table.columns")

    tracks = pd.DataFrame({"popularity": popularity})
    for name in _TEXT:
        tracks[name] = cells[name]
    for name in AUDIO_FEATURES:
        tracks[name] = _numbers(cells[name], decimal)
    duration = _numbers(cells["duration_ms"], decimal).round()
    tracks["duration_ms"] = duration.where(duration.between(1, _LONGEST_MS))
    tracks["explicit"] = cells["explicit"].str.strip().str.lower().map(_TRUTH)
    tracks["isrc"] = cells["isrc"].str.strip().str.upper()
    tracks["split"] = cells["split"].str.strip().str.lower().map(SIDES)
    tracks["preview_url"] = cells["preview_url"].map(_address, na_action="ignore")
    root = Path(settings.audio_root).resolve() if settings.audio_root else path.parent
    tracks["audio_path"] = cells["audio_path"].map(lambda name: str(root / name), na_action="ignore")
    unsaid = tracks["audio_path"].where(tracks["duration_ms"].isna(), None)
    tracks["duration_ms"] = tracks["duration_ms"].fillna(
        unsaid.map(_milliseconds, na_action="ignore").astype(float)
    )
    tracks["release_date"] = cells["release_date"].str.extract(_DATE, expand=False)
    tracks["release_date_precision"] = tracks["release_date"].str.len().map(_PRECISION)
    if unread := int((cells["release_date"].notna() & tracks["release_date"].isna()).sum()):
        remarks.append(f"{unread:,} release dates are not written year-month-day; left out")

    tracks["track_id"] = _track_ids(cells)
    tracks["artist_names"], tracks["artist_ids"] = _artists(cells, tracks["track_id"], settings.separators)
    if cells[["artist_name", "artist_id", "artist_ids"]].isna().all(axis=None):
        remarks.append(
            "no column names the artists, so no split can keep them apart; see collect.table.columns"
        )
    kept, more = _one_row_per_track(tracks)
    if kept.empty:
        raise UserError(f"{path.name}: no row has both a popularity and an id; see collect.table.columns")
    return kept, [*remarks, *more]


def artists(cell, separators=()):
    """The artists (or artist ids) that a cell lists.

    >>> artists("['Nelly', \\"Destiny's Child\\"]")
    ['Nelly', "Destiny's Child"]
    >>> artists("Nelly Featuring Ciara", [" featuring "])
    ['Nelly', 'Ciara']
    """
    text = cell.strip()
    names = None
    if text.startswith("[") and text.endswith("]"):
        try:
            with warnings.catch_warnings(action="ignore"):  # of escapes that Python does not know
                names = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            names = None  # a band may be called [Alexandros]
    if not isinstance(names, list):
        pattern = "|".join(map(re.escape, separators))
        names = re.split(pattern, text, flags=re.IGNORECASE) if pattern else [text]
    return [name for name in (str(name).strip() for name in names) if name]


# ---------------------------------------------------------------------- the file


def _raw(path):
    """The file's cells as text (None where missing), and its decimal sign."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in (".rds", ".rda", ".rdata"):
        raise UserError(
            f'{path.name}: export it from R first: write.csv(readRDS("{path.name}"), "tracks.csv")'
        )
    if suffixes and suffixes[-1] in (".xls", ".xlsx", ".ods"):
        raise UserError(f"{path.name}: save the spreadsheet as CSV first")
    try:
        if suffixes and suffixes[-1] in (".parquet", ".pq"):
            return _as_text(pd.read_parquet(path)), "."
        return _read_csv(path)
    except UnicodeDecodeError:
        raise UserError(f"{path.name}: is neither UTF-8 nor Latin-1 text") from None
    except _BROKEN_FILE as error:
        raise UserError(f"{path.name}: cannot be read as a table: {' '.join(str(error).split())}") from None


def _read_csv(path):
    """The cells of a text file, compressed or not."""
    try:
        return _read_encoded(path, "utf-8-sig")
    except UnicodeDecodeError:
        return _read_encoded(path, "latin-1")


def _read_encoded(path, encoding):
    def columns(separator):
        return pd.read_csv(path, sep=separator, encoding=encoding, nrows=0, dtype=str).shape[1]

    separator = max(",\t;|", key=columns)
    with warnings.catch_warnings():
        # Rows longer than the header: pandas would drop their ends with a warning.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        raw = pd.read_csv(
            path, sep=separator, encoding=encoding, dtype=str, index_col=False,
            keep_default_na=False, na_values=MISSING,
        )  # fmt: skip
    # Semicolons come with decimal commas: R's write.csv2, and spreadsheets of half the world.
    return raw, "," if separator == ";" else "."


def _as_text(frame):
    """Typed cells (Parquet) as the text that a CSV would have held, so that one parser reads both."""
    return pd.DataFrame({str(name): frame[name].map(_text).astype(object) for name in frame})


def _text(cell):
    if isinstance(cell, np.ndarray | list | tuple):
        return repr([str(item) for item in cell if item is not None])
    if pd.isna(cell):
        return None
    # Whole numbers that stand beside missing ones are floats.
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def _chosen(raw, mapping, path):
    """The columns that mean something to us, under our names; those not there are all missing."""
    there = list(raw.columns)
    for ours, theirs in mapping.items():
        if theirs not in there:
            raise UserError(
                f"collect.table.columns.{ours}: {path.name} has no column {theirs!r}{nearest(theirs, there)}"
            )
    cells = {}
    for name in TABLE_COLUMNS:
        column = mapping.get(name, name)
        cells[name] = raw[column] if column in there else pd.Series(None, raw.index, dtype=object)
    if mapping.get("popularity", "popularity") not in there:
        raise UserError(
            f"{path.name}: no column popularity; name the one that holds it as collect.table.columns.popularity; "
            f"there are: {', '.join(there)}"
        )
    cells = pd.DataFrame(cells).astype(object)
    return cells.where(cells.notna() & ~cells.isin(MISSING), None)


# ---------------------------------------------------------------------- the cells


def _numbers(texts, decimal):
    """Text as numbers; what is none is missing."""
    if decimal == ",":
        texts = texts.str.replace(",", ".", regex=False)
    return pd.to_numeric(texts, errors="coerce").astype(float).replace([np.inf, -np.inf], np.nan)


def _address(cell):
    """A web address, or None."""
    try:
        return cell if urlsplit(cell).scheme in ("http", "https") else None
    except ValueError:
        return None


def _milliseconds(path):
    """How long an audio file says it is; NaN where there is none."""
    try:
        return round(1000 * soundfile.info(path).duration)
    except (soundfile.SoundFileError, OSError, ValueError):
        return np.nan


def _track_ids(cells):
    """The table's ids, or where it has none, made from artist, title and file.

    An id ends up in file names, so one that is not fit for that is replaced too. Rows that offer nothing to
    make an id from have None.
    """
    given = cells["track_id"].str.strip().str.removeprefix("spotify:track:")
    fit = given.str.fullmatch(_FILE_NAME, na=False)
    artist = cells["artist_ids"].fillna(cells["artist_id"]).fillna(cells["artist_name"])
    parts = pd.DataFrame(
        {"given": given, "artist": artist, "name": cells["name"], "path": cells["audio_path"]}
    )
    parts.loc[given.notna(), ["artist", "name", "path"]] = None
    possible = parts[["given", "name", "path"]].notna().any(axis=1)
    if not (fit | possible).any():
        raise UserError(
            "collect.table.columns: map track_id, or name (and artist_name), or audio_path, to tell tracks apart"
        )
    ids = given.where(fit, None)
    todo = ~fit & possible
    ids[todo] = [_hashed(row) for row in parts[todo].itertuples(index=False)]
    return ids


def _hashed(parts):
    text = json.dumps([None if pd.isna(part) else part for part in parts])
    return "table-" + hashlib.sha256(text.encode()).hexdigest()[:20]


def _artists(cells, track_ids, separators):
    """Names and ids of each row's artists: two columns of equally long lists, never empty."""
    names = [artists(cell, separators) if cell else [] for cell in cells["artist_name"]]
    given = cells["artist_ids"].fillna(cells["artist_id"])
    ids = [artists(cell, separators) if cell else [] for cell in given]
    # An artist keeps one id, whether a row gives it or (a guest, say) only the name.
    known = {}
    for row_names, row_ids in zip(names, ids, strict=True):
        known |= {_key(name): id_ for name, id_ in zip(row_names, row_ids, strict=False)}
    for row_names, row_ids, track_id in zip(names, ids, track_ids, strict=True):
        for name in row_names[len(row_ids) :]:
            row_ids.append(known.get(_key(name), f"table:artist:{_key(name)}"))
        if not row_ids:  # its own artist: it shares a group with no other track
            row_ids.append(f"table:artist:of {track_id}")
        row_names += [None] * (len(row_ids) - len(row_names))
    return pd.Series(names, cells.index, dtype=object), pd.Series(ids, cells.index, dtype=object)


def _key(name):
    """What two spellings of an artist share; names of signs alone, like !!!, stay as they are."""
    return normalised(name) or name.casefold()


def _one_row_per_track(tracks):
    """Leave out rows that cannot be used, and of each track keep the most popular row."""
    remarks = []
    for name, what in {"popularity": "popularity", "track_id": "anything to tell the track by"}.items():
        missing = tracks[name].isna()
        if missing.any():
            remarks.append(f"{missing.sum():,} rows without {what}; left out")
            tracks = tracks[~missing]
    best = tracks.sort_values("popularity", ascending=False, kind="stable").drop_duplicates("track_id")
    if repeated := len(tracks) - len(best):
        different = len(tracks.astype(str).drop_duplicates()) - len(best)
        remarks.append(
            f"{repeated:,} rows repeat a track id ({different:,} with other values); the most popular row of each stays"
        )
    return best.sort_index(ignore_index=True), remarks
