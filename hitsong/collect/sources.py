"""Where tracks come from: one class per source.

A source has

- ``collect()``, which reads what is missing and returns a pandas.DataFrame of every track that passes the
  filters, copies of a recording included, in columns of `hitsong.collect.deduplicate.SCHEMA`;
- ``refresh(track_ids)``, which reads the popularity of known tracks again, and raises UserError for files;
- ``readings(tracks)``, all that has been read of tracks, in columns of `hitsong.collect.history.SCHEMA`;
- ``requests``, the number of requests sent by then, and ``cost(n_tracks)``, a line on what they were spent on;
- ``planted(track_ids)``, a table of what was planted in synthetic tracks, None for real ones;
- ``notice``, a line that the user should read first, or None.
"""

from contextlib import ExitStack, contextmanager
from pathlib import Path

from hitsong.collect.catalog import Catalog


def files(config):
    """The files that a source reads tracks or filters from, as far as they are there."""
    collect = config.collect
    paths = [collect.artists_file]
    if collect.source == "fma":
        paths.append(Path(collect.root) / "fma_metadata" / "tracks.csv")
    elif collect.source == "table":
        paths.append(collect.table.path)
    elif collect.source == "listenbrainz":
        from hitsong.collect.listens import dump_files

        paths.extend(dump_files(collect.listens) if collect.listens else [])
    elif collect.strategy == "ids":
        paths.append(collect.ids_file)
    return [Path(path) for path in paths if path and Path(path).is_file()]


@contextmanager
def open_source(config, path):
    """Connect to the source that a config names, for the length of a `with` block.

    Parameters
    ----------
    path : path-like
        The catalogue, for sources that are services.
    """
    if config.collect.source == "fma":
        from hitsong.collect.fma import Fma

        yield Fma(config.collect)
        return
    if config.collect.source == "table":
        from hitsong.collect.table import TableFile

        yield TableFile(config.collect)
        return
    from hitsong.collect.connection import connect

    if config.collect.source == "deezer":
        from hitsong.collect.deezer import Deezer as Crawl
    elif config.collect.source == "listenbrainz":
        from hitsong.collect.listenbrainz import ListenBrainz as Crawl
    else:
        from hitsong.collect.spotify import Spotify as Crawl
    with (
        connect(config) as connection,
        Catalog(path, Crawl.scope(connection, config.collect), connection.now) as catalog,
    ):
        yield Crawl(connection, config, catalog)


@contextmanager
def open_previews(config, matching=False):
    """What previews are downloaded with, for the length of a `with` block.

    Parameters
    ----------
    config : hitsong.config.Config
    matching : bool
        Whether tracks are to be looked up at Deezer, wherever they come from.

    Yields
    ------
    session : requests.Session
    client : hitsong.collect.deezer.Client or None
        Of Deezer, if any preview may come from there.
    """
    from hitsong.collect.connection import connect
    from hitsong.collect.deezer import Client

    with ExitStack() as stack:
        connection = stack.enter_context(connect(config))
        at_deezer = connection
        if matching and config.collect.source in ("fma", "table"):  # files: a service is not connected yet
            service = config.collect.model_copy(update={"source": "deezer"})
            at_deezer = stack.enter_context(connect(config.model_copy(update={"collect": service})))
        needed = matching or config.collect.source == "deezer"
        yield connection.session, Client(at_deezer, config.collect) if needed else None
