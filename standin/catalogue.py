"""What all services share: every genre's world, the results of searches, and the songs."""

import os
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor
from functools import lru_cache

import pandas as pd
from flask import Response, abort, current_app

from standin.composer import compose, encode_mp3
from standin.search import Query
from standin.world import BLOCK, GENRES, World


class Catalogue:
    """Every genre's world, each made when it is first asked for.

    Parameters
    ----------
    settings : hitsong.config.Standin
    """

    def __init__(self, settings):
        self.settings = settings
        self._worlds = {}
        self._lock = threading.Lock()
        # As many songs at once as there are cores, always in the same threads: memory stays flat.
        self._studio = ThreadPoolExecutor(os.cpu_count(), "studio")
        # A crawl pages through one result after the other; each is found once, whatever its number of pages.
        self.search = lru_cache(maxsize=32)(self._search)

    def world(self, genre):
        """The world of a genre."""
        with self._lock:
            if genre not in self._worlds:
                self._worlds[genre] = World(self.settings, genre)
            return self._worlds[genre]

    def worlds(self):
        """Every world, one after the other; those already made come first."""
        made = list(self._worlds)
        return map(self.world, [*made, *(genre for genre in GENRES if genre not in made)])

    def find(self, kind, key):
        """An object by its id: `kind` is people, albums, tracks, playlists or previews; None if nothing has it."""
        return next((found[key] for world in self.worlds() if key in (found := getattr(world, kind))), None)

    def find_serial(self, kind, serial):
        """An object by its integer id, which tells the genre: `kind` is people, albums, tracks or playlists."""
        genre = genre_of(serial)
        return genre and self.world(genre).numbered(kind, serial)

    def copies(self, track):
        """The tracks that hold the same recording as a track, itself among them."""
        return self.world(genre_of(track.serial)).copies[track.recording]

    def planted(self, track_ids):
        """What was planted in tracks of either service: the rows of `World.planted` for these ids."""
        missing, tables = set(track_ids), []
        service = "deezer" if any(key.startswith("deezer:") for key in missing) else "spotify"
        for world in self.worlds():
            if not missing:
                break
            table = world.planted(service)
            tables.append(table[table["track_id"].isin(missing)])
            missing -= set(table["track_id"])
        return pd.concat(tables, ignore_index=True)

    def _search(self, kind, text, by="popularity"):
        """Everything that a query finds, the highest in popularity or rank first: `kind` is artist or track."""
        query = Query(text)
        worlds = [self.world(genre) for genre in GENRES if query.genre in ("", genre)]
        found = query.artists(worlds) if kind == "artist" else query.tracks(worlds)
        return sorted(found, key=lambda item: (-getattr(item, by), item.id))

    def mp3(self, recording):
        """The answer to a request for a preview: the song, composed anew at every call, or what is wrong with it."""
        if recording is None or recording.fault == "missing":
            abort(404)
        if recording.fault == "not audio":
            return Response(
                "<!DOCTYPE html><title>Preview</title><p>This preview is not available.</p>",
                mimetype="text/html",
            )
        try:
            song = self._studio.submit(_produce, recording, self.settings.seconds).result()
        except CancelledError:
            abort(503)  # the stand-in is closing
        return Response(song, mimetype="audio/mpeg")

    def close(self):
        """Finish the songs begun and drop those waiting."""
        self._studio.shutdown(cancel_futures=True)


def _produce(recording, seconds):
    return encode_mp3(compose(recording.traits, seconds, recording.seed))


def genre_of(serial):
    """The genre to which an integer id belongs, or None."""
    block = serial // BLOCK - 1
    return list(GENRES)[block] if 0 <= block < len(GENRES) else None


def catalogue():
    """The catalogue of the running app."""
    return current_app.extensions["catalogue"]
