"""Run the stand-in by hand, to try a client against it: python -m standin --port 8801

A fault is KIND, KIND@AT or KIND@ATxTIMES, and may end in :PATH. For example `quota@20` refuses the 20th request, and
`server_error@5x3:albums` fails the 5th to the 7th of the requests whose path holds `albums`.

    python -m standin --table songs.csv      # Spotify's tracks as a table without audio, for configs/table_deezer.yaml
    python -m standin --listens listens      # a dump of listens, for configs/open.yaml
    python -m standin --listens later --clock 2027-05-01       # the dump of a later day
"""

import argparse
import csv
import re
import textwrap
import threading
from typing import get_args

import numpy as np
from pydantic import ValidationError

from hitsong import config
from hitsong.errors import UserError
from standin import GENRES, playlist_ids, serve
from standin.dump import draw_listens, write_parquet
from standin.spotify import TOKEN
from standin.world import World

KINDS = get_args(config.Fault.model_fields["kind"].annotation)
PROFILES = get_args(config.Standin.model_fields["profile"].annotation)


def fault(text):
    """Read a fault from the command line."""
    match = re.fullmatch(r"(\w+)(?:@(\d+)(?:x(\d+))?)?(?::(.+))?", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not KIND@ATxTIMES:PATH, as server_error@5x3:albums is")
    kind, at, times, path = match.groups()
    try:
        return config.Fault(kind=kind, at=int(at or 1), times=int(times or 1), path=path or "")
    except ValidationError:
        if kind not in KINDS:
            raise argparse.ArgumentTypeError(
                f"no fault is called {kind!r}{config.nearest(kind, KINDS)}"
            ) from None
        raise argparse.ArgumentTypeError(f"{text!r}: requests are counted from 1") from None


def main():
    parser = argparse.ArgumentParser(
        prog="python -m standin",
        description=__doc__,
        epilog=textwrap.fill(f"Kinds of faults: {', '.join(KINDS)}."),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=8801, help="0 takes any free port (default: %(default)s)")
    parser.add_argument("--config", help="take the section `standin` of this file instead of the defaults")
    parser.add_argument("--profile", choices=PROFILES, help="the class of app that clients have at Spotify")
    parser.add_argument("--clock", metavar="DAY", help="the day of the services, on which popularity is read")
    parser.add_argument("--fault", type=fault, action="append", help="a failure on purpose; may be repeated")
    parser.add_argument("--table", metavar="FILE", help="write the tracks of one genre as a table, and end")
    parser.add_argument("--listens", metavar="FOLDER", help="write a dump of listens of one genre, and end")
    arguments = parser.parse_args()
    try:
        settings = config.load(arguments.config).standin if arguments.config else config.Standin()
        if arguments.clock:
            settings = config.Standin(**settings.model_dump() | {"clock": arguments.clock})
    except (UserError, ValidationError) as error:
        parser.error(
            str(error) if isinstance(error, UserError) else f"--clock: {error.errors()[0]['ctx']['error']}"
        )
    given = {"profile": arguments.profile, "faults": arguments.fault}
    settings = settings.model_copy(update={name: value for name, value in given.items() if value})
    if arguments.table:
        write_table(arguments.table, World(settings, next(iter(GENRES))))
        return
    if arguments.listens:
        world = World(settings, next(iter(GENRES)))
        listens = draw_listens(world, np.random.default_rng(settings.seed))
        print(
            f"{len(listens):,} synthetic listens -> {write_parquet(arguments.listens, listens, day=settings.clock)}"
        )
        return
    with serve(settings, arguments.port) as standin:
        print(introduction(standin, settings), flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print(f"{standin.requests} requests.")


def write_table(path, world):
    """Write a world's tracks as the published tables have them: no audio, no ISRC, one row per track."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["track_id", "song", "artist", "duration_ms", "release_date", "popularity"])
        for track in world.tracks.values():
            recording = track.recording
            artists = ";".join(artist.name for artist in recording.artists)
            rows.writerow(
                [track.id, recording.name, artists, recording.duration_ms, track.album.date, track.popularity]
            )
    print(f"{len(world.tracks):,} synthetic tracks -> {path}")


def introduction(standin, settings):
    """What runs at which address, and requests to try."""
    spotify = f'curl -H "Authorization: Bearer {TOKEN}" "{standin.url}/v1'
    deezer = f'curl "{standin.url}/deezer'
    genre = next(iter(GENRES))
    playlist = playlist_ids(settings, genre)[0]
    return f"""\
SYNTHETIC Spotify (profile {settings.profile}) and Deezer on {standin.url} - Ctrl-C stops them.
Every artist, song and number is invented. Faults: {", ".join(map(describe, settings.faults)) or "none"}.

  curl -u {standin.client_id}:{standin.client_secret} -d grant_type=client_credentials {standin.url}/api/token
  {spotify}/search?q=genre:{genre}&type=artist&limit=10"
  {spotify}/search?q=genre:{genre}+year:2010-2012+track:a%25&type=track&limit=10"
  {spotify}/playlists/{playlist}/tracks?limit=10"
  {deezer}/search/playlist?q={genre}"
  {deezer}/genre/152/artists"
"""


def describe(fault):
    """The fault in the form of the command line."""
    return f"{fault.kind}@{fault.at}x{fault.times}" + (f":{fault.path}" if fault.path else "")


if __name__ == "__main__":
    main()
