"""What routes need of a request, for FastAPI's dependency injection."""

import asyncio
import threading
from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Path, Request

from hitsong.service import upload
from hitsong.service.problems import Problem
from hitsong.service.scoring import RecentSong, ScoringService


def _service(request: Request):
    return request.app.state.service


Service = Annotated[ScoringService, Depends(_service)]


async def _receive_song(request: Request, service: Service):
    if upload.is_raw(request):
        files = [await upload.receive_body(request, service.limits)]
    else:
        files = await upload.receive_files(request, "file", service.limits, 1)
    with files[0].file:
        yield files[0]


OneSong = Annotated[upload.Upload, Depends(_receive_song)]


def _receive_up_to(limit):
    """Receive several files, at most as many as the limit of that name allows."""

    async def receive(request: Request, service: Service):
        files = await upload.receive_files(request, "files", service.limits, getattr(service.limits, limit))
        try:
            yield files
        finally:
            for item in files:
                item.file.close()

    return receive


SeveralSongs = Annotated[list[upload.Upload], Depends(_receive_up_to("files"))]
Versions = Annotated[list[upload.Upload], Depends(_receive_up_to("versions"))]


async def _watch_connection(request: Request):
    """Notices when the client closes the connection; only once the body has been received."""
    gone = threading.Event()

    async def watch():
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone.set()

    watcher = asyncio.create_task(watch())
    try:
        yield gone.is_set
    finally:
        watcher.cancel()


# Whether the client has closed the connection. A route names it after its files: they are received first.
Disconnected = Annotated[Callable[[], bool], Depends(_watch_connection)]

SongId = Annotated[str, Path(description="The id of a prediction", pattern="^[A-Za-z0-9_-]{22}$")]


def _recent_song(service: Service, song_id: SongId):
    song = service.recent.get(song_id)
    if song is None:
        raise Problem(404, "expired", "no prediction has this id, or it has expired; send the file again")
    return song


Recent = Annotated[RecentSong, Depends(_recent_song)]
