"""Tracks from a table: CSV, TSV or Parquet.

Published tables differ in separator, encoding, notation of numbers, dates and lists of artists, which are recognised.
Ambiguous tables are refused with the setting that decides; rows that are left out are counted.
"""

import hashlib
import json
import lzma
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from hitsong.collect import history
from hitsong.collect.artist_cells import artist_remarks, parse_artists
from hitsong.collect.cells import find_notation, parse_dates, parse_numbers
from hitsong.collect.deduplicate import MOST_TITLES, SCHEMA, normalised, title_counts
from hitsong.collect.filters import select_tracks
from hitsong.config import AUDIO_FEATURES, TABLE_COLUMNS, nearest
from hitsong.errors import UserError
from hitsong.features import decode

# Missing values as R and pandas write them. A title may be "None" or "null", so those are kept.
MISSING = ["", "NA", "NaN", "nan"]
PLACEHOLDERS = ["-", "--", ".", "?", "n/a", "#n/a", "none", "null", "nil", "unknown", "undefined", "tbd"]
SIDES = {
    "train": "training", "training": "training", "test": "test",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
}  # fmt: skip
LARGEST = 1e15  # popularity; larger whole numbers are not exact
_TRUTH = {"true": True, "t": True, "yes": True, "1": True, "1.0": True}
_TRUTH |= {"false": False, "f": False, "no": False, "0": False, "0.0": False}
_TEXT = ["name", "album_id", "album_name", "album_type", "genre", "licence"]
_KEYS = ["track_id", "artist_id", "artist_ids", "album_id", "isrc", "preview_url"]
_UNIT = ["danceability", "energy", "speechiness", "acousticness", "instrumentalness", "liveness", "valence"]
_ISRC = r"[A-Z]{2}[A-Z0-9]{3}[0-9]{7}"  # ISO 3901, without hyphens
_ADDRESS = r"(?i)https?://(?:[^/?#\s\[\]]+|\[[0-9a-f:.]+\])(?:[/?#]|$)"
_LONGEST_MS = 24 * 3600 * 1000
_FILE_NAME = r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}"  # ids name the files of previews
_BROKEN_FILE = (
    OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, pd.errors.ParserError,
    pd.errors.ParserWarning,
)  # fmt: skip


class TableFile:
    """A table of tracks on disk, as a source.

    Raises
    ------
    UserError
        If there is no such file.
    """

    notice = None
    requests = 0

    def __init__(self, settings):
        self.filters, self.settings = settings, settings.table
        self.path = Path(self.settings.path).resolve()
        if not self.path.is_file():
            raise UserError(f"collect.table.path: {self.path} is no file; name a CSV, TSV or Parquet table")

    def readings(self, tracks):
        """The readings of tracks: a row's day is that of its cell or of `collect.table.read_at`, if any."""
        rows = self._rows[self._rows["track_id"].isin(set(tracks["track_id"]))]
        return history.of_tracks(rows, "table", "popularity")

    def refresh(self, track_ids):
        """Refuse: a table holds what was read. Raises UserError."""
        raise UserError(
            "--refresh: popularity of a table was read when the table was made; add rows of later days to it "
            "(read_at), and run 01 without --refresh"
        )

    def planted(self, track_ids):
        """Nothing: these tracks are real."""
        return None

    def collect(self):
        """Every track of the table that passes the filters; prints what was left out or put together."""
        tracks, self._rows, remarks = read(self.path, self.settings)
        for remark in remarks:
            print(f"{self.path.name}: {remark}")
        return select_tracks(tracks, self.filters).drop(columns="artist_names")


def read(path, settings):
    """Read a table.

    Returns
    -------
    tracks : pandas.DataFrame
        One row per track id, in the order of the file, with the columns of `hitsong.collect.deduplicate.SCHEMA`
        that a source gives; `artist_ids` and `artist_names` hold lists, main artist first.
    readings : pandas.DataFrame
        `track_id`, `popularity` and `fetched_at` of every row, the most popular first.
    remarks : list of str
        On rows and cells that were left out, merged or ambiguous.

    Raises
    ------
    UserError
        If the file is no table, lacks a needed column, has two notations of numbers, or has no row with a popularity
        and an identity of the track.
    """
    cells, remarks = _select(*_read_file(path, settings), settings.columns, path)
    try:
        tracks, more = _parse(cells, settings, path)
        kept, rest = _one_row_per_track(tracks)
        _check_popularity(kept["popularity"])
    except UserError as error:
        raise UserError(f"{path.name}: {error}") from None
    readings = tracks[["track_id", "popularity", "fetched_at"]].dropna(subset=["track_id", "popularity"])
    readings = readings.sort_values("popularity", ascending=False, kind="stable")
    return kept, readings, [*remarks, *more, *rest]


def _parse(cells, settings, path):
    """The columns of a track from the cells of the table, and remarks."""
    numeric = ["popularity", "duration_ms", *AUDIO_FEATURES]
    notation = find_notation({name: cells[name] for name in numeric}, settings.decimal)
    tracks, remarks = pd.DataFrame(index=cells.index), []
    for name in numeric:
        tracks[name], more = parse_numbers(cells[name], notation, name)
        remarks += more
    if tracks["popularity"].isna().all():
        given = cells["popularity"].dropna()
        example = f", for example {given.iat[0]!r}" if len(given) else ""
        raise UserError(f"no row has a number for popularity{example}; see collect.table.columns")
    remarks += _unit_remarks(tracks)
    tracks["duration_ms"] = tracks["duration_ms"].round().where(tracks["duration_ms"].between(1, _LONGEST_MS))
    for name in _TEXT:
        tracks[name] = cells[name]
    tracks["explicit"] = _map(cells["explicit"], _TRUTH).astype("boolean")
    tracks["split"] = _map(cells["split"], SIDES)
    tracks["isrc"] = cells["isrc"].str.replace(r"[\s-]", "", regex=True).str.upper()
    fits = {
        "isrc": tracks["isrc"].str.fullmatch(_ISRC),
        "preview_url": cells["preview_url"].str.match(_ADDRESS),
        "audio_path": cells["audio_path"].str.fullmatch(r"[^\0]+"),
    }
    tracks[["preview_url", "audio_path"]] = cells[["preview_url", "audio_path"]]
    for name, valid in fits.items():
        tracks[name] = tracks[name].where(valid.fillna(False).astype(bool))
    kinds = {
        "isrc": "ISRC", "preview_url": "web address", "audio_path": "name of a file", "split": "name of a side",
    }  # fmt: skip
    for name, what in kinds.items():
        lost = cells[name][tracks[name].isna() & cells[name].notna()]
        if len(lost):
            remarks.append(f"{name}: no {what} in {len(lost):,} cells, for example {lost.iat[0]!r}; left out")

    root = Path(settings.audio_root).resolve() if settings.audio_root else path.parent
    tracks["audio_path"] = tracks["audio_path"].map(lambda name: str(root / name), na_action="ignore")
    unknown = tracks["audio_path"].where(tracks["duration_ms"].isna()).dropna()
    tracks.loc[unknown.index, "duration_ms"] = unknown.map(_milliseconds).astype(float)
    for name in ("release_date", "read_at"):
        tracks[name], precision, more = parse_dates(cells[name], name, settings.date_format)
        remarks += more
        if name == "release_date":
            tracks["release_date_precision"] = precision
    tracks["fetched_at"] = tracks.pop("read_at").fillna(settings.read_at or np.nan).astype("str")
    if tracks["fetched_at"].isna().any():
        remarks.append(
            "the day popularity was read is unknown, and so is the tracks' age; see collect.table.read_at"
        )
    tracks["popularity_source"] = settings.popularity_source

    tracks["track_id"], more = _track_ids(cells)
    remarks += more
    tracks["artist_ids"], tracks["artist_names"], more = _artists(
        cells, tracks["track_id"], settings.separators
    )
    tracks["artist_id"] = tracks["artist_ids"].str[0].astype("str")
    tracks["artist_name"] = tracks["artist_names"].str[0].astype("str")
    columns = [name for name in [*SCHEMA.names, "artist_names"] if name in tracks]
    return tracks.reindex(columns=columns), [*remarks, *more]


# ---------------------------------------------------------------------- the file


def _read_file(path, settings):
    """The cells as text (or numbers, in Parquet), and remarks."""
    suffix = path.suffix.lower()
    if suffix in (".rds", ".rda", ".rdata"):
        raise UserError(
            f'{path.name}: export it from R first: write.csv(readRDS("{path.name}"), "tracks.csv")'
        )
    if suffix in (".xls", ".xlsx", ".ods"):
        raise UserError(f"{path.name}: save the spreadsheet as CSV first")
    try:
        if suffix in (".parquet", ".pq"):
            frame = pd.read_parquet(path)
            return pd.DataFrame({str(name): _untyped(frame[name]) for name in frame}), []
        return _read_text(path, settings.encoding)
    except LookupError:
        raise UserError(f"collect.table.encoding: no encoding is called {settings.encoding!r}") from None
    except _BROKEN_FILE as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path.name}: cannot be read as a table: {reason}") from None


def _read_text(path, encoding):
    """A text file, compressed or not: UTF-8 or UTF-16 by its content, else Windows-1252."""
    if encoding:
        return _read_encoded(path, encoding), []
    try:
        cells, remarks = _read_encoded(path, "utf-8-sig"), []
    except UnicodeDecodeError as error:
        if error.start == 0 and error.object[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return _read_encoded(path, "utf-16"), ["read as UTF-16"]
        cells = _read_encoded(path, "cp1252", errors="replace")
        remarks = [
            "not UTF-8: read as Windows-1252; if names look wrong, set collect.table.encoding (big5, gb18030, ...)"
        ]
    if not any("\x00" in name for name in cells):
        return cells, remarks
    # UTF-16 without a byte order mark
    encoding = "utf-16-be" if next(iter(cells)).startswith("\x00") else "utf-16-le"
    return _read_encoded(path, encoding), [f"read as {encoding.upper()}"]


def _read_encoded(path, encoding, errors="strict"):
    options = {"encoding": encoding, "encoding_errors": errors, "dtype": "str"}

    def columns(separator):
        return pd.read_csv(path, sep=separator, nrows=0, **options).shape[1]

    separator = max(",\t;|", key=columns)
    with warnings.catch_warnings():
        # Rows longer than the header: pandas would drop their ends with a warning.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(
            path, sep=separator, index_col=False, keep_default_na=False, na_values=MISSING, **options
        )


def _untyped(column):
    """A typed column (Parquet) as numbers or as the text that a CSV would hold."""
    if pd.api.types.is_bool_dtype(column):
        return column.astype("str")
    if pd.api.types.is_numeric_dtype(column):
        return column
    return column.map(_text, na_action="ignore").astype("str")


def _text(cell):
    if isinstance(cell, np.ndarray | list | tuple):
        return json.dumps(list(cell), default=str)
    return None if pd.isna(cell) else str(cell)


def _as_text(column):
    """Numbers as text: whole numbers without decimals, also where missing ones made them floats."""
    if not pd.api.types.is_numeric_dtype(column):
        return column
    whole = column.dropna()
    if (whole == whole.round()).all():
        return column.astype("Int64").astype("str")
    return column.map(repr, na_action="ignore").astype("str")


def _select(raw, remarks, mapping, path):
    """The columns of `TABLE_COLUMNS`, under these names; columns that the table lacks are all missing."""
    names = list(raw.columns)
    for ours, theirs in mapping.items():
        if theirs not in names:
            raise UserError(
                f"collect.table.columns.{ours}: {path.name} has no column {theirs!r}{nearest(theirs, names)}"
            )
    if mapping.get("popularity", "popularity") not in names:
        raise UserError(
            f"{path.name}: no column popularity; name the one that holds it as collect.table.columns.popularity; "
            f"there are: {', '.join(names)}"
        )
    cells = {}
    for name in TABLE_COLUMNS:
        theirs = mapping.get(name, name)
        if theirs not in names:
            cells[name] = pd.Series(np.nan, raw.index, dtype="str")
        elif name in ("popularity", "duration_ms", *AUDIO_FEATURES):
            cells[name] = raw[theirs]
        else:
            cells[name] = _as_text(raw[theirs])
            missing = cells[name].isin(MISSING)
            if name in _KEYS:
                missing |= cells[name].str.strip().str.lower().isin(PLACEHOLDERS)
            cells[name] = cells[name].mask(missing.astype(bool))
        if f"{theirs}.1" in names and theirs in names:
            remarks = [*remarks, f"two columns are called {theirs!r}; the first was read"]
    return pd.DataFrame(cells), remarks


# ---------------------------------------------------------------------- the cells


def _map(column, meanings):
    """The meaning of each word; missing for other words."""
    codes, words = pd.factorize(column.str.strip().str.lower())
    meant = pd.Series([meanings.get(word) for word in words], dtype=object)
    return pd.Series(pd.api.extensions.take(meant.to_numpy(), codes, allow_fill=True), column.index)


def _unit_remarks(tracks):
    """Remarks on audio features and durations that are in another unit."""
    remarks = []
    for name in _UNIT:
        if (largest := tracks[name].max()) > 1:
            remarks.append(
                f"{name}: as high as {largest:g}, where Spotify's lies between 0 and 1; taken as it is"
            )
    if (median := tracks["duration_ms"].median()) < 1000:
        remarks.append(f"duration_ms: {median:g} in the middle; if these are seconds, multiply by 1000 first")
    return remarks


def _milliseconds(path):
    """The duration of an audio file by its header [ms]; NaN without a header."""
    try:
        seconds = decode.length(path)
    except (decode.AudioError, OSError):
        return np.nan
    return np.nan if seconds is None else round(1000 * seconds)


def _track_ids(cells):
    """The table's ids, or where it has none, hashes of artist, title and file; and remarks.

    Ids become file names, so ids that are not fit for that are replaced, too, and so are ids that many different titles
    share, unless popularity or duration is also the same: then all rows are the same track. Rows without any of these
    columns have no id.
    """
    given = cells["track_id"].str.strip().str.removeprefix("spotify:track:")
    repeated = given[given.duplicated(keep=False) & given.notna()]
    titles = title_counts(cells.loc[repeated.index], repeated)
    values = cells[["popularity", "duration_ms"]].groupby(repeated).nunique().reindex(titles.index)
    shared = titles[(titles > MOST_TITLES) & values.ne(1).all(axis=1)]
    given = given.mask(given.isin(shared.index))
    remarks = [
        f"track_id {value!r} stands in rows of {count:,} different titles, so it is not the id of a track; ignored"
        for value, count in shared.head(3).items()
    ]
    fit = given.str.fullmatch(_FILE_NAME).fillna(False).astype(bool)
    artist = cells["artist_ids"].fillna(cells["artist_id"]).fillna(cells["artist_name"])
    parts = pd.DataFrame(
        {"given": given, "artist": artist, "name": cells["name"], "path": cells["audio_path"]}
    )
    parts.loc[given.notna(), ["artist", "name", "path"]] = np.nan
    possible = parts[["given", "name", "path"]].notna().any(axis=1)
    if not (fit | possible).any():
        raise UserError(
            "map track_id, or name (and artist_name), or audio_path in collect.table.columns, to tell tracks apart"
        )
    ids, todo = given.where(fit), ~fit & possible
    rows = parts[todo].astype(object).where(parts[todo].notna(), None)
    ids[todo] = [_hashed(row) for row in rows.itertuples(index=False)]
    return ids, remarks


def _hashed(parts):
    return "table-" + hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:20]


def _artists(cells, track_ids, separators):
    """Each row's artist ids (lists, never empty) and names (lists), and remarks."""
    remarks = []
    ids_column = "artist_ids" if cells["artist_ids"].notna().any() else "artist_id"
    name_codes, name_cells = pd.factorize(cells["artist_name"])
    id_codes, id_cells = pd.factorize(cells["artist_ids"].fillna(cells["artist_id"]))
    if not len(name_cells) and not len(id_cells):
        remarks = ["no column names the artists, so no split can keep them apart; see collect.table.columns"]
    split_at = [";"] if separators is None else separators
    names = [parse_artists(cell, split_at) for cell in name_cells]
    given = [parse_artists(cell, split_at, "id") for cell in id_cells]
    remarks += artist_remarks(name_cells, names, "artist_name", separators)
    remarks += artist_remarks(id_cells, given, ids_column, separators or [])
    names, given = [*names, []], [*given, []]  # -1 is a missing cell

    # Once for each distinct pair of cells. An artist has one id, in rows with the id and in rows with the name only.
    pair, pairs = pd.factorize(name_codes * (len(id_cells) + 1) + id_codes)
    row = np.unique(pair, return_index=True)[1]
    id_of = {}
    for name_code, id_code in zip(name_codes[row], id_codes[row], strict=True):
        for name, id_ in zip(names[name_code], given[id_code], strict=False):
            id_of.setdefault(_key(name), id_)
    lists = []
    for name_code, id_code in zip(name_codes[row], id_codes[row], strict=True):
        more = (_key(name) for name in names[name_code][len(given[id_code]) :])
        lists.append([*given[id_code], *(id_of.get(key, f"table:artist:{key}") for key in more)])
    ids = np.empty(len(lists), dtype=object)
    ids[:] = lists
    ids = pd.Series(ids[pair], cells.index)
    alone = ids.map(len) == 0  # its own artist: it shares a group with no other track
    ids[alone] = [[f"table:artist:of {track_id}"] for track_id in track_ids[alone]]
    name_lists = np.empty(len(names), dtype=object)
    name_lists[:] = names
    return ids, pd.Series(name_lists[name_codes], cells.index), remarks


def _key(name):
    """A key that spellings of an artist share; names without letters and digits, like !!!, are not changed."""
    return normalised(name) or name.casefold()


def _one_row_per_track(tracks):
    """Leave out rows that cannot be used, and keep the first reading of each track: of one day, the highest."""
    remarks = []
    for name, what in {"popularity": "popularity", "track_id": "anything to tell the track by"}.items():
        missing = tracks[name].isna()
        if missing.any():
            remarks.append(f"{missing.sum():,} rows without {what}; left out")
            tracks = tracks[~missing]
    if tracks.empty:
        raise UserError("no row has both a number for popularity and an id; see collect.table.columns")
    repeats = tracks[tracks.duplicated("track_id", keep=False)]
    if repeats.empty:
        return tracks.reset_index(drop=True), remarks
    order = tracks.sort_values(["fetched_at", "popularity"], ascending=[True, False], kind="stable")
    best = order.drop_duplicates("track_id")
    different = len(repeats.astype("str").drop_duplicates()) - repeats["track_id"].nunique()
    dated = repeats.groupby("track_id")["fetched_at"].nunique().gt(1).any()
    kept = (
        "row of the first day of each stays (history.parquet holds all)"
        if dated
        else "most popular row of each stays"
    )
    remarks.append(
        f"{len(tracks) - len(best):,} rows repeat a track id ({different:,} with other values); the {kept}"
    )
    return best.sort_index(ignore_index=True), remarks


def _check_popularity(popularity):
    """Refuse popularity that no model can be fitted to."""
    if (largest := popularity.abs().max()) > LARGEST:
        raise UserError(
            f"popularity is as large as {largest:g}; such numbers (above {LARGEST:g}) cannot be predicted"
        )
    if len(popularity) > 1 and popularity.nunique() == 1:
        raise UserError(
            f"all {len(popularity):,} tracks have popularity {popularity.iat[0]:g}: nothing to predict"
        )
