"""The catalogue of artists, albums and tracks (SQLite), filled page by page.

Everything a source says is kept once, whichever crawl asked for it. `progress` remembers how far each
list of pages has been read, in the same transaction as the page's rows, so that a crawl killed at any
moment goes on with the next page. `members` says which artists (or tracks) belong to which crawl, so
one catalogue holds several genres and each export has its own.
"""

import json
import sqlite3
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime

import pandas as pd

SCHEMA = """
CREATE TABLE IF NOT EXISTS artists (
    artist_id TEXT PRIMARY KEY, name TEXT, genres TEXT, popularity INTEGER, followers INTEGER);
CREATE TABLE IF NOT EXISTS albums (
    album_id TEXT PRIMARY KEY, name TEXT, album_type TEXT,
    release_date TEXT, release_date_precision TEXT, total_tracks INTEGER,
    tracks_known INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS artist_albums (
    artist_id TEXT, album_id TEXT, PRIMARY KEY (artist_id, album_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tracks (
    track_id TEXT PRIMARY KEY, album_id TEXT, name TEXT, duration_ms INTEGER, explicit INTEGER,
    isrc TEXT, preview_url TEXT, audio_path TEXT, genre TEXT, licence TEXT, split TEXT,
    popularity REAL, popularity_source TEXT, fetched_at TEXT,
    features_known INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS tracks_of_album ON tracks (album_id);
CREATE TABLE IF NOT EXISTS track_artists (
    track_id TEXT, position INTEGER, artist_id TEXT, PRIMARY KEY (track_id, position)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS audio_features (track_id TEXT PRIMARY KEY, features TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS members (
    crawl TEXT, id TEXT, PRIMARY KEY (crawl, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS downloads (
    track_id TEXT PRIMARY KEY, status TEXT, path TEXT, bytes INTEGER, sha256 TEXT, seconds REAL,
    error TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS capabilities (
    app TEXT PRIMARY KEY, found TEXT, probed_at TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS progress (
    list TEXT PRIMARY KEY, next_offset INTEGER) WITHOUT ROWID;
"""


class Catalog:
    """A catalogue on disk.

    Parameters
    ----------
    path : path-like
        The SQLite file; made where there is none.
    """

    def __init__(self, path):
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.row_factory = sqlite3.Row
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=NORMAL")
        self.connection.executescript(SCHEMA)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    @contextmanager
    def page(self):
        """One page of an answer: all of its rows are written, or none."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def query(self, sql, *parameters):
        """All rows of a query."""
        return self.connection.execute(sql, parameters).fetchall()

    def frame(self, sql, *parameters):
        """The rows of a query as a pandas.DataFrame."""
        cursor = self.connection.execute(sql, parameters)
        return pd.DataFrame(map(tuple, cursor), columns=[column[0] for column in cursor.description])

    def column(self, sql, *parameters):
        """The first column of a query, as a list."""
        return [row[0] for row in self.connection.execute(sql, parameters)]

    # ------------------------------------------------------------------ how far a list has been read

    def offset(self, listing):
        """Where to go on reading a paged list: 0 at first, None when it has been read to its end."""
        rows = self.query("SELECT next_offset FROM progress WHERE list = ?", listing)
        return rows[0][0] if rows else 0

    def advance(self, listing, next_offset):
        """Remember how far a list has been read; None is its end."""
        self.connection.execute("INSERT OR REPLACE INTO progress VALUES (?, ?)", (listing, next_offset))

    # ------------------------------------------------------------------ what a service lets an app do

    def capabilities(self, app):
        """What an app was found to be given, and when: ``{"found": ..., "probed_at": ...}``, or None."""
        rows = self.query("SELECT found, probed_at FROM capabilities WHERE app = ?", app)
        return {"found": json.loads(rows[0]["found"]), "probed_at": rows[0]["probed_at"]} if rows else None

    def keep_capabilities(self, app, found):
        """Keep what an app is given (a dataclass)."""
        row = (app, json.dumps(asdict(found)), datetime.now(UTC).isoformat(timespec="seconds"))
        self.connection.execute("INSERT OR REPLACE INTO capabilities VALUES (?, ?, ?)", row)

    # ------------------------------------------------------------------ rows

    def put(self, table, rows):
        """Insert rows (dictionaries by column name), or update the columns they name."""
        for row in rows:
            names = list(row)
            key = _KEYS[table]
            updates = ", ".join(f"{name} = excluded.{name}" for name in names if name not in key)
            self.connection.execute(
                f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) "
                f"ON CONFLICT ({', '.join(key)}) DO " + (f"UPDATE SET {updates}" if updates else "NOTHING"),
                list(row.values()),
            )

    def put_track(self, row, artist_ids):
        """Insert or update a track and its credited artists, main artist first."""
        self.put("tracks", [row])
        self.connection.execute("DELETE FROM track_artists WHERE track_id = ?", (row["track_id"],))
        self.put(
            "track_artists",
            [
                {"track_id": row["track_id"], "position": position, "artist_id": artist_id}
                for position, artist_id in enumerate(artist_ids)
            ],
        )

    def put_features(self, track_id, features):
        """Keep a track's audio features; None says that the source has none for it."""
        if features is not None:
            self.put("audio_features", [{"track_id": track_id, "features": json.dumps(features)}])
        self.connection.execute("UPDATE tracks SET features_known = 1 WHERE track_id = ?", (track_id,))


_KEYS = {
    "artists": ("artist_id",),
    "albums": ("album_id",),
    "artist_albums": ("artist_id", "album_id"),
    "tracks": ("track_id",),
    "track_artists": ("track_id", "position"),
    "audio_features": ("track_id",),
    "members": ("crawl", "id"),
    "downloads": ("track_id",),
}
