"""Connections to a music service: the real one, or the synthetic one on loopback."""

import os
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import requests

from hitsong.files import digest


@dataclass(frozen=True)
class Connection:
    """A requests session, and the addresses and credentials to use with it.

    Attributes
    ----------
    name : str
        Identifies the service's content in a catalogue; the stand-in has another name for other settings.
    planted : callable, optional
        Of the stand-in: from track ids to a table of their planted effects.
    genres : tuple of str
        All genres of the stand-in.
    clock : str, optional
        The day of the stand-in, on which popularity is read.
    """

    session: requests.Session
    name: str = "live"
    api: str = "https://api.spotify.com/v1/"
    token_url: str = "https://accounts.spotify.com/api/token"
    deezer: str = "https://api.deezer.com/"
    musicbrainz: str = "https://musicbrainz.org/ws/2/"
    listenbrainz: str = "https://api.listenbrainz.org/"
    client_id: str | None = None
    client_secret: str | None = None
    planted: Callable | None = None
    genres: tuple = ()
    clock: str | None = None

    @property
    def synthetic(self):
        return self.planted is not None

    def now(self):
        """The time at the service."""
        return (
            datetime.now(UTC)
            if self.clock is None
            else datetime.fromisoformat(self.clock).replace(tzinfo=UTC)
        )


@contextmanager
def connect(config):
    """Connect to the service that `collect.api` names, for the length of a `with` block.

    The stand-in runs for that time and is used as an HTTP proxy: its addresses are then the same in every run, whatever
    its port, and can be stored in the catalogue.
    """
    with requests.Session() as session:
        if config.collect.source in ("fma", "table"):  # files on this machine
            yield Connection(session)
            return
        if config.collect.api == "live":
            credentials = os.environ.get("SPOTIPY_CLIENT_ID"), os.environ.get("SPOTIPY_CLIENT_SECRET")
            yield Connection(session, client_id=credentials[0], client_secret=credentials[1])
            return
        from standin import GENRES, serve

        with serve(config.standin) as standin:
            session.trust_env = False  # no proxy of the user's before loopback
            session.proxies = standin.proxies
            yield Connection(
                session=session,
                name=f"synthetic-{digest(config.standin.model_dump(exclude={'profile', 'faults', 'clock'}))}",
                api=standin.api,
                token_url=standin.token_url,
                deezer=standin.deezer,
                musicbrainz=standin.musicbrainz,
                listenbrainz=standin.listenbrainz,
                client_id=standin.client_id,
                client_secret=standin.client_secret,
                planted=standin.planted,
                genres=tuple(GENRES),
                clock=config.standin.clock,
            )
