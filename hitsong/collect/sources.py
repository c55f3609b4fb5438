"""Where tracks come from: one module per source; crawlers fill the catalogue, local files are read directly.

A source is an object with

- ``collect(catalog)``, which brings the catalogue up to date and returns the number of requests made (0
  when everything was known already),
- ``tracks(catalog)``, a table of the tracks that belong to this crawl (columns of `deduplicate.SCHEMA`),
- ``economy(tracks)``, a line on what the requests were spent on, where there are any,
- ``percentile``, whether popularity is on a scale of its own and to be told as a percentile,
- ``notice``, a line that the user should read first, and ``planted``, a table of what was planted in
  synthetic songs; both None where there is nothing to say.
"""

from contextlib import contextmanager


@contextmanager
def previews(config):
    """What to download with: a session, and a resolver of expiring addresses (None where they last)."""
    from hitsong.collect.connection import connected

    with connected(config) as connection:
        if config.collect.source == "deezer":
            from hitsong.collect.deezer import Client

            yield connection.session, Client(connection, config.collect).preview
        else:
            yield connection.session, None


@contextmanager
def opened(config):
    """The source that a config names, connected for the length of the block."""
    if config.collect.source == "fma":
        from hitsong.collect.fma import Fma

        yield Fma(config.collect)
        return
    if config.collect.source == "table":
        from hitsong.collect.table import TableFile

        yield TableFile(config.collect)
        return
    from hitsong.collect.connection import connected

    with connected(config) as connection:
        if config.collect.source == "deezer":
            from hitsong.collect.deezer import Deezer

            yield Deezer(connection, config.collect)
        else:
            from hitsong.collect.spotify import Spotify

            yield Spotify(connection, config.collect)
