"""Readings of popularity in the catalogue: each is kept, and a refresh goes on where it was stopped."""

from datetime import datetime, timedelta

import pandas as pd

SCHEMA = """
CREATE TABLE IF NOT EXISTS readings (
    scope TEXT, track_id TEXT, quantity TEXT, read_at TEXT, value REAL,
    PRIMARY KEY (scope, track_id, quantity, read_at)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refreshes (
    scope TEXT, started_at TEXT, finished_at TEXT, PRIMARY KEY (scope, started_at));
"""
POPULARITY = "popularity"  # the quantity of readings that come with a track
APART = timedelta(days=1)  # readings that come with a track are one if they are closer than this
VALID = timedelta(days=30)  # an interrupted refresh that is older is not continued: its days would be mixed


class Readings:
    """The readings of one scope of a catalogue.

    Parameters
    ----------
    catalog : hitsong.collect.catalog.Catalog
    """

    def __init__(self, catalog):
        self.scope, self.connection, self.catalog = catalog.scope, catalog.connection, catalog

    # ------------------------------------------------------------------ reading and writing

    def add(self, rows, quantity=POPULARITY, apart=timedelta(0)):
        """Add readings in the catalogue's open transaction: (track id, value, read_at) triples.

        A triple without a value is left out, and so is one that is less than `apart` after another of its track.
        """
        self.connection.executemany(
            """INSERT OR IGNORE INTO readings SELECT :scope, :track, :quantity, :read_at, :value WHERE NOT EXISTS (
                   SELECT 1 FROM readings WHERE scope = :scope AND track_id = :track AND quantity = :quantity
                   AND read_at > :earliest AND read_at <= :read_at)""",
            (
                {
                    "scope": self.scope,
                    "track": track_id,
                    "quantity": quantity,
                    "read_at": read_at,
                    "value": value,
                    "earliest": (datetime.fromisoformat(read_at) - apart).isoformat(timespec="seconds"),
                }
                for track_id, value, read_at in rows
                if value is not None
            ),
        )

    def store(self, values, read_at=None, apart=timedelta(0)):
        """Store readings, all or none: values by quantity and track id; read now unless `read_at` is given."""
        read_at = read_at or self.catalog.now().isoformat(timespec="seconds")
        with self.catalog.transaction():
            for quantity, by_track in values.items():
                self.add(
                    ((track_id, value, read_at) for track_id, value in by_track.items()), quantity, apart
                )

    def of(self, track_ids):
        """All readings of tracks, oldest first: a DataFrame of `track_id`, `quantity`, `value` and `read_at` [UTC]."""
        rows = self.connection.execute(
            "SELECT track_id, quantity, value, read_at FROM readings WHERE scope = ? ORDER BY read_at, track_id",
            (self.scope,),
        )
        readings = pd.DataFrame(map(tuple, rows), columns=["track_id", "quantity", "value", "read_at"])
        readings["read_at"] = pd.to_datetime(readings["read_at"], utc=True, format="ISO8601")
        return readings[readings["track_id"].isin(set(track_ids))].reset_index(drop=True)

    # ------------------------------------------------------------------ refreshes

    def begin(self):
        """When the present refresh was started: now, or earlier if the last one was interrupted (ISO 8601)."""
        now = self.catalog.now()
        row = self.connection.execute(
            "SELECT started_at FROM refreshes WHERE scope = ? AND finished_at IS NULL AND started_at > ? "
            "ORDER BY started_at DESC",
            (self.scope, (now - VALID).isoformat(timespec="seconds")),
        ).fetchone()
        if row:
            return row["started_at"]
        started = now.isoformat(timespec="seconds")
        self.connection.execute("INSERT OR REPLACE INTO refreshes VALUES (?, ?, NULL)", (self.scope, started))
        return started

    def finish(self):
        """Record that the present refresh is complete."""
        now = self.catalog.now().isoformat(timespec="seconds")
        self.connection.execute(
            "UPDATE refreshes SET finished_at = ? WHERE scope = ? AND finished_at IS NULL", (now, self.scope)
        )

    def unread(self, track_ids, since, quantity):
        """Those of the tracks, sorted, that have no reading since a time (ISO 8601)."""
        rows = self.connection.execute(
            "SELECT DISTINCT track_id FROM readings WHERE scope = ? AND quantity = ? AND read_at >= ?",
            (self.scope, quantity, since),
        )
        return sorted(set(track_ids) - {row["track_id"] for row in rows})
