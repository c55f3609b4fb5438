"""The way to a music service: the real one, or the synthetic one on loopback."""

import os
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass

import pandas as pd
import requests

from hitsong.files import digest


@dataclass(frozen=True)
class Connection:
    """A requests session, and the addresses and credentials to use with it.

    `name` tells catalogues apart: other settings of the stand-in are another catalogue. `planted` and
    `genres` are the stand-in's: a table of what it planted in the songs of genres, and the genres that it knows.
    """

    session: requests.Session
    name: str = "spotify"
    api: str = "https://api.spotify.com/v1/"
    token_url: str = "https://accounts.spotify.com/api/token"
    deezer: str = "https://api.deezer.com/"
    client_id: str | None = None
    client_secret: str | None = None
    planted: Callable | None = None
    genres: tuple = ()

    @property
    def synthetic(self):
        return self.planted is not None


@contextmanager
def connected(config):
    """Connect as `collect.api` says.

    The stand-in is started for the length of the block and reached as an HTTP proxy: its addresses
    then look the same in every run, whatever port was free, and can be kept in the catalogue.
    """
    with requests.Session() as session:
        if config.collect.source in ("fma", "table"):  # files on this machine
            yield Connection(session)
            return
        if config.collect.api == "live":
            credentials = os.environ.get("SPOTIPY_CLIENT_ID"), os.environ.get("SPOTIPY_CLIENT_SECRET")
            yield Connection(session, client_id=credentials[0], client_secret=credentials[1])
            return
        from standin import GENRES, planted, serve

        with serve(config.standin) as standin:
            session.trust_env = False  # a proxy of the user's must not be asked for loopback
            session.proxies = standin.proxies
            yield Connection(
                session=session,
                name=f"synthetic-{digest(config.standin.model_dump(exclude={'profile', 'faults'}))}",
                api=standin.api,
                token_url=standin.token_url,
                deezer=standin.deezer,
                client_id=standin.client_id,
                client_secret=standin.client_secret,
                planted=lambda genres: pd.concat(planted(config.standin, genre) for genre in genres),
                genres=tuple(GENRES),
            )
