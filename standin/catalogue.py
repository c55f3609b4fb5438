"""The catalogue behind all services: the worlds of all genres, searches, and the audio of previews."""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache, partial

import pandas as pd
from starlette.responses import HTMLResponse, Response

from standin.composer import compose, encode_mp3
from standin.decoys import AWAY
from standin.identities import recording_mbids
from standin.search import Query
from standin.web import request
from standin.world import BLOCK, GENRES, World


class Catalogue:
    """Every genre's world, each made when it is first needed."""

    def __init__(self, settings):
        self.settings = settings
        self._worlds = {}
        self._lock = threading.Lock()
        # One song per core at a time, always in the same threads: memory stays flat.
        self._composers = ThreadPoolExecutor(os.cpu_count(), "composer")
        # A crawl reads one search after the other, page by page; each is computed once.
        self.search = lru_cache(maxsize=32)(self._search)

    def world(self, genre):
        """The world of a genre."""
        with self._lock:
            if genre not in self._worlds:
                self._worlds[genre] = World(self.settings, genre)
            return self._worlds[genre]

    def worlds(self):
        """Every world, one after the other; those already made come first."""
        return map(self.world, dict.fromkeys([*self._worlds, *GENRES]))

    def find(self, kind, key):
        """An object by its id: `kind` is people, albums, tracks, playlists or previews; None if there is none."""
        return next((items[key] for world in self.worlds() if key in (items := getattr(world, kind))), None)

    def find_serial(self, kind, serial):
        """An object by its integer id, in which the genre is encoded: `kind` is people, albums, tracks or playlists."""
        genre = genre_of(serial)
        return genre and self.world(genre).numbered(kind, serial)

    def decoy(self, serial):
        """The synthetic Deezer's decoy with an integer id, or None."""
        genre = genre_of(serial - AWAY * BLOCK)
        return genre and self.world(genre).decoys.find(serial)

    def decoy_preview(self, key):
        """The decoy's recording with a preview's key, or None."""
        return next(filter(None, (world.decoys.preview(key) for world in self.worlds())), None)

    def copies(self, track):
        """The tracks that hold the same recording as a track, itself among them."""
        return self.world(genre_of(track.serial)).copies[track.recording]

    @cached_property
    def by_mbid(self):
        """The world and the recording of each MusicBrainz identifier."""
        return {
            mbid: (world, recording)
            for world in self.worlds()
            for recording in world.recordings
            for mbid in recording_mbids(world, recording)
        }

    def planted(self, track_ids):
        """The planted effects of tracks of either service: rows of `World.planted`."""
        missing, tables = set(track_ids), []
        example = next(iter(missing), "")
        service = (
            "deezer" if example.startswith("deezer:") else "musicbrainz" if "-" in example else "spotify"
        )
        for world in self.worlds():
            if not missing:
                break
            table = world.planted(service)
            tables.append(table[table["track_id"].isin(missing)])
            missing -= set(table["track_id"])
        return pd.concat(tables, ignore_index=True)

    def _search(self, kind, text, by="popularity"):
        """All artists, tracks or Deezer tracks (`kind`) that match a query, the highest in popularity or rank first."""
        query = Query(text)
        worlds = [self.world(genre) for genre in GENRES if query.genre in ("", genre)]
        search = {"artist": query.artists, "track": query.tracks}.get(kind, partial(_with_decoys, query))
        matches = search(worlds)
        return sorted(matches, key=lambda item: (-getattr(item, by), item.id))

    async def mp3(self, recording):
        """The response to a request for a preview: the song, composed anew at every call, or its fault."""
        if recording is None or recording.fault == "missing":
            return HTMLResponse("<title>Not Found</title>", 404)
        if recording.fault == "not audio":
            return HTMLResponse("<!DOCTYPE html><title>Preview</title><p>This preview is not available.</p>")
        job = self._composers.submit(_make_mp3, recording, self.settings.seconds)
        try:
            song = await asyncio.wrap_future(job)
        except asyncio.CancelledError:
            return Response(status_code=503)  # the stand-in is closing
        return Response(song, media_type="audio/mpeg")

    def close(self):
        """Finish the songs begun and drop those waiting."""
        self._composers.shutdown(cancel_futures=True)


def _make_mp3(recording, seconds):
    return encode_mp3(compose(recording.traits, seconds, recording.seed))


def _with_decoys(query, worlds):
    """The tracks that a search of the synthetic Deezer finds."""
    for world in worlds:
        yield from (track for track in query.tracks([world]) if track.recording not in world.decoys.hidden)
        yield from filter(query.fits, world.decoys.tracks)


def genre_of(serial):
    """The genre to which an integer id belongs, or None."""
    block = serial // BLOCK - 1
    return list(GENRES)[block] if 0 <= block < len(GENRES) else None


def catalogue():
    """The catalogue of the running app."""
    return request().app.state.catalogue
