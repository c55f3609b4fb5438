"""The options of 07_serve.py, checked before anything is loaded, and the lines that it prints at the start."""

import re

from hitsong.errors import UserError
from hitsong.service.access import is_loopback
from hitsong.service.limits import Limits

SHORTEST_TOKEN = 16


def check(arguments, token):
    """Check the command line.

    Parameters
    ----------
    arguments : argparse.Namespace
        With `host`, `port`, `allow_origin`, `max_mb` and `max_minutes`.
    token : str or None

    Returns
    -------
    Limits

    Raises
    ------
    UserError
        If the port is no port, a site is none, a limit is not positive, or an address on a network has no token or a
        short one.
    """
    if not 0 <= arguments.port <= 65535:
        raise UserError(f"--port {arguments.port}: choose one from 1 to 65535, or 0 for any free port")
    if token is None and not is_loopback(arguments.host):
        raise UserError(
            f"--host {arguments.host} can be reached from other machines: set an access token first, "
            "HITSONG_TOKEN=$(openssl rand -hex 16)"
        )
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise UserError(
            f"HITSONG_TOKEN has fewer than {SHORTEST_TOKEN} characters; take openssl rand -hex 16"
        )
    for origin in arguments.allow_origin:
        if not re.fullmatch(r"https?://[a-z0-9.-]+(:\d+)?", origin):
            raise UserError(f"--allow-origin {origin}: give a site as https://example.org, without a path")
    if arguments.max_mb <= 0 or arguments.max_minutes <= 0:
        raise UserError("--max-mb and --max-minutes must be above 0")
    return Limits(file_bytes=int(arguments.max_mb * 1e6), seconds=60 * arguments.max_minutes)


def describe(bundle, reason):
    """What is served, and which data it was made from: lines."""
    info = bundle.info
    yield f"{reason}; predicts {bundle.target}"
    yield (
        f"trained on {info['trained_on']['train']:,} tracks of study {info['study']}: {info['collected_from']}; "
        f"popularity from {info['popularity_source']}, read {info['fetched']}"
    )
    if info["synthetic"]:
        yield "careful: these songs are synthetic; the scores mean nothing for real songs"
    yield "A score helps to sort many songs; about a single song it is often wrong."
