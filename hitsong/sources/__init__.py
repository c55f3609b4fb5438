"""Where tracks come from: one module per source, all filling the same catalogue.

A source is an object with

- ``crawl``, the name under which the catalogue remembers what this crawl found,
- ``collect(catalog)``, which brings the catalogue up to date and returns the number of requests made (0
  when everything was known already),
- ``track_ids(catalog)``, the tracks that belong to this crawl,
- ``notice``, a line that the user should read first, and ``planted``, a table of what was planted in
  synthetic songs; both None where there is nothing to say.
"""

from contextlib import contextmanager


@contextmanager
def opened(config):
    """The source that a config names, connected for the length of the block."""
    if config.collect.source == "fma":
        from hitsong.sources.fma import Fma

        yield Fma(config.collect)
        return
    from hitsong.sources.connection import connected
    from hitsong.sources.spotify import Spotify

    with connected(config) as connection:
        yield Spotify(connection, config.collect)
