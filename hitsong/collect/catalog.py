"""The catalogue (SQLite): every page that a service has sent, every track read, every preview downloaded.

A crawl is a walk over lists of pages: a search, an artist's albums, an album's tracks. The name of a list holds
everything that decides its content (service, market, query), so a page that is stored is never requested again,
whichever crawl needs it next, and a crawl killed at any moment goes on with the first missing page.
"""

import json
import sqlite3
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import pandas as pd

from hitsong.collect.readings import APART, Readings
from hitsong.collect.readings import SCHEMA as READINGS
from hitsong.config import AUDIO_FEATURES
from hitsong.errors import UserError

VERSION = 3  # of the tables below, kept in the file
TRACK_COLUMNS = [
    "track_id", "name", "artist_ids", "artist_names", "album_id", "album_name", "album_type", "release_date",
    "release_date_precision", "duration_ms", "explicit", "isrc", "preview_url", "popularity", "fetched_at",
]  # fmt: skip
SCHEMA = f"""
CREATE TABLE IF NOT EXISTS pages (
    scope TEXT, list TEXT, offset INTEGER, next_offset INTEGER, total INTEGER, items TEXT,
    PRIMARY KEY (scope, list, offset));
CREATE TABLE IF NOT EXISTS tracks (
    scope TEXT, {", ".join(TRACK_COLUMNS)}, with_previews INTEGER, PRIMARY KEY (scope, track_id));
CREATE TABLE IF NOT EXISTS audio_features (
    scope TEXT, track_id TEXT, features TEXT, PRIMARY KEY (scope, track_id));
CREATE TABLE IF NOT EXISTS capabilities (app TEXT PRIMARY KEY, capabilities TEXT, probed_at TEXT);
CREATE TABLE IF NOT EXISTS lookups (
    scope TEXT, request TEXT, sent_at TEXT, items TEXT, PRIMARY KEY (scope, request));
CREATE TABLE IF NOT EXISTS downloads (
    track_id TEXT PRIMARY KEY, status TEXT, path TEXT, bytes INTEGER, sha256 TEXT, seconds REAL, error TEXT,
    source TEXT, mtime_ns INTEGER);
{READINGS}"""
# Version 2 had no readings: its tracks' own are the first.
UPGRADE = f"""
BEGIN IMMEDIATE;
{SCHEMA}
INSERT OR IGNORE INTO readings
    SELECT scope, track_id, 'popularity', fetched_at, popularity FROM tracks WHERE popularity IS NOT NULL;
PRAGMA user_version = {VERSION};
COMMIT;
"""
# A track that was read before keeps its first popularity with the time of that reading; one that is gone keeps all.
_PUT_TRACK = f"""
INSERT INTO tracks VALUES ({", ".join("?" * (len(TRACK_COLUMNS) + 2))})
ON CONFLICT (scope, track_id) DO UPDATE SET with_previews = excluded.with_previews,
    {", ".join(f"{name} = iif(excluded.name IS NULL, {name}, excluded.{name})" for name in TRACK_COLUMNS[1:-2])},
    popularity = coalesce(popularity, excluded.popularity),
    fetched_at = iif(popularity IS NULL, excluded.fetched_at, fetched_at)
"""


@dataclass(frozen=True)
class Page:
    """One page of a list.

    Attributes
    ----------
    items : list
        Ids, or dicts with an `id`.
    next_offset : int or None
        Where the list goes on; None at its end.
    total : int or None
        Length of the list as the service states it.
    """

    items: list
    next_offset: int | None
    total: int | None


class Catalog:
    """A catalogue on disk.

    Parameters
    ----------
    path : path-like
        The SQLite file; made if it is missing.
    scope : str
        The service and market that pages and tracks belong to: the same id may mean another thing elsewhere.
    now : callable, optional
        Gives the time at the service, at which popularity is read; the stand-in has a clock of its own.

    Attributes
    ----------
    readings : hitsong.collect.readings.Readings

    Raises
    ------
    UserError
        If the file was written by an earlier version of this program.
    """

    def __init__(self, path, scope="", now=None):
        self.scope = scope
        self.now = now or (lambda: datetime.now(UTC))
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.row_factory = sqlite3.Row
        version, tables = (
            self.connection.execute(sql).fetchone()[0]
            for sql in ("PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
        )
        if tables and version not in (2, VERSION):
            self.connection.close()
            raise UserError(
                f"{path} is from an earlier version of this program: delete it and run 01_collect.py"
            )
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=NORMAL")
        if version != VERSION:
            self.connection.executescript(UPGRADE)
        self.readings = Readings(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    @contextmanager
    def transaction(self):
        """Write all rows of the block, or none."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def column(self, sql, *parameters):
        """The first column of a query, as a list."""
        return [row[0] for row in self.connection.execute(sql, parameters)]

    # ------------------------------------------------------------------ pages

    def page(self, name, offset):
        """The stored page of a list, or None."""
        row = self.connection.execute(
            "SELECT items, next_offset, total FROM pages WHERE scope = ? AND list = ? AND offset = ?",
            (self.scope, name, offset),
        ).fetchone()
        return row and Page(json.loads(row["items"]), row["next_offset"], row["total"])

    def store_page(self, name, offset, page, tracks=(), with_previews=True):
        """Store a page, and the tracks that it described in full."""
        with self.transaction():
            self.connection.execute(
                "INSERT OR REPLACE INTO pages VALUES (?, ?, ?, ?, ?, ?)",
                (self.scope, name, offset, page.next_offset, page.total, json.dumps(page.items)),
            )
            self._put_tracks(tracks, with_previews)

    # ------------------------------------------------------------------ tracks

    def store_tracks(self, rows, with_previews=True):
        """Store tracks: dicts with `track_id` and any of `TRACK_COLUMNS`, and their popularity as a reading.

        The popularity of a track is that of its first reading: it decides which copy of a recording stays, and so which
        tracks a study has. Later readings stand in `readings`.

        Parameters
        ----------
        rows : iterable of dict
            A track that the service no longer has is a row with nothing but its id.
        with_previews : bool
            Whether the service would have given this app the preview addresses.
        """
        with self.transaction():
            self._put_tracks(rows, with_previews)

    def _put_tracks(self, rows, with_previews):
        now = self.now().isoformat(timespec="seconds")
        rows = [{**row, "fetched_at": now} for row in rows]
        self.connection.executemany(
            _PUT_TRACK,
            (
                (
                    self.scope,
                    *(
                        json.dumps(value) if isinstance(value, list) else value
                        for value in map(row.get, TRACK_COLUMNS)
                    ),
                    with_previews,
                )
                for row in rows
            ),
        )
        self.readings.add(((row["track_id"], row.get("popularity"), now) for row in rows), apart=APART)

    def known_tracks(self, with_previews=False):
        """The ids of all stored tracks; optionally only of those read by an app that is given previews."""
        return set(
            self.column(
                "SELECT track_id FROM tracks WHERE scope = ? AND with_previews >= ?",
                self.scope,
                with_previews,
            )
        )

    def store_features(self, features):
        """Store audio features by track id: dicts, or None where the service has none."""
        with self.transaction():
            self.connection.executemany(
                "INSERT OR REPLACE INTO audio_features VALUES (?, ?, ?)",
                ((self.scope, track_id, json.dumps(values)) for track_id, values in features.items()),
            )

    def known_features(self):
        """The ids of the tracks whose audio features have been requested."""
        return set(self.column("SELECT track_id FROM audio_features WHERE scope = ?", self.scope))

    def tracks(self, track_ids):
        """The stored tracks that have a popularity.

        Parameters
        ----------
        track_ids : iterable of str

        Returns
        -------
        pandas.DataFrame
            Sorted by `track_id`; `TRACK_COLUMNS` (artists as lists, main artist first), `artist_id`,
            `artist_name` and `AUDIO_FEATURES`.
        """
        self.connection.execute("CREATE TEMP TABLE IF NOT EXISTS chosen (track_id TEXT PRIMARY KEY)")
        self.connection.execute("DELETE FROM chosen")
        self.connection.executemany(
            "INSERT OR IGNORE INTO chosen VALUES (?)", ((track_id,) for track_id in track_ids)
        )
        rows = self.connection.execute(
            f"""SELECT {", ".join(f"t.{name}" for name in TRACK_COLUMNS)}, f.features
                FROM chosen JOIN tracks t ON t.track_id = chosen.track_id AND t.scope = ?
                LEFT JOIN audio_features f ON f.track_id = t.track_id AND f.scope = t.scope
                WHERE t.popularity IS NOT NULL ORDER BY t.track_id""",
            (self.scope,),
        )
        tracks = pd.DataFrame(map(tuple, rows), columns=[*TRACK_COLUMNS, "features"])
        for name, main in {"artist_ids": "artist_id", "artist_names": "artist_name"}.items():
            tracks[name] = tracks[name].map(json.loads)
            tracks[main] = tracks[name].map(lambda values: values[0] if values else None)
        features = [
            (json.loads(text) if isinstance(text, str) else None) or {} for text in tracks.pop("features")
        ]
        for name in AUDIO_FEATURES:
            tracks[name] = [values.get(name) for values in features]
        tracks["explicit"] = tracks["explicit"].astype("boolean")
        return tracks

    # ------------------------------------------------------------------ capabilities of an app

    def capabilities(self, app):
        """What an app was given when it was last probed, and when: (dict, datetime), or None."""
        row = self.connection.execute(
            "SELECT capabilities, probed_at FROM capabilities WHERE app = ?", (app,)
        ).fetchone()
        return row and (json.loads(row["capabilities"]), datetime.fromisoformat(row["probed_at"]))

    def store_capabilities(self, app, capabilities):
        """Store what an app is given (a dataclass)."""
        row = (app, json.dumps(asdict(capabilities)), datetime.now(UTC).isoformat(timespec="seconds"))
        self.connection.execute("INSERT OR REPLACE INTO capabilities VALUES (?, ?, ?)", row)

    # ------------------------------------------------------------------ lookups

    def lookup(self, request, max_age_days=None):
        """The stored response to a request: a list; None if there is none, or it is older than `max_age_days`."""
        row = self.connection.execute(
            "SELECT items, sent_at FROM lookups WHERE scope = ? AND request = ?", (self.scope, request)
        ).fetchone()
        if row is None:
            return None
        age = self.now() - datetime.fromisoformat(row["sent_at"])
        return None if max_age_days is not None and age.days >= max_age_days else json.loads(row["items"])

    def lookup_times(self, kind):
        """When each request that begins with `kind` was answered: ISO 8601 by the rest of the request."""
        rows = self.connection.execute(
            "SELECT substr(request, ?) AS rest, sent_at FROM lookups WHERE scope = ? AND request GLOB ?",
            (len(kind) + 2, self.scope, f"{kind} *"),
        )
        return {row["rest"]: row["sent_at"] for row in rows}

    def store_lookup(self, request, items):
        """Store the response to a request, with the time."""
        self.store_lookups({request: items})

    def store_lookups(self, items_by_request):
        """Store the responses to several requests together: all or none."""
        now = self.now().isoformat(timespec="seconds")
        with self.transaction():
            self.connection.executemany(
                "INSERT OR REPLACE INTO lookups VALUES (?, ?, ?, ?)",
                (
                    (self.scope, request, now, json.dumps(items))
                    for request, items in items_by_request.items()
                ),
            )

    # ------------------------------------------------------------------ downloads

    def downloads(self):
        """The outcome of every download, sorted by track id: a list of rows with the table's columns."""
        return self.connection.execute("SELECT * FROM downloads ORDER BY track_id").fetchall()

    def store_download(self, row):
        """Store the outcome of one download: a dict with all columns of the table."""
        names = ", ".join(row)
        self.connection.execute(
            f"INSERT OR REPLACE INTO downloads ({names}) VALUES ({', '.join('?' * len(row))})",
            list(row.values()),
        )
