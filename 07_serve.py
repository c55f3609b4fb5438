"""Serve a trained model: an API, and a page, where an artist tries a song.

    python 07_serve.py                          # http://127.0.0.1:8787, the study's best model
    python 07_serve.py --model crnn --port 9000
    HITSONG_TOKEN=... python 07_serve.py --host 0.0.0.0

Reads data/<study>/models/ and report/metrics.json; leaves nothing. Songs are sent to POST /predict (one, field
`file`) or POST /rank (several, field `files`); GET /openapi.json describes the rest. Ctrl-C or SIGTERM ends it once
what is in flight is answered. On a network, put a proxy that speaks TLS before it: the token travels as it is.
"""

import os
import signal

from hitsong import cli
from hitsong.errors import UserError
from hitsong.study import Study

SHORTEST_TOKEN = 16


def main():
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--model", metavar="NAME", help="which model (default: the best that can judge a file)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8787, help="0 takes any free port (default: %(default)s)")
    parser.add_argument("--max-mb", type=float, default=30, help="largest file (default: %(default)s)")
    parser.add_argument("--max-minutes", type=float, default=10, help="longest sound (default: %(default)s)")
    arguments = parser.parse_args()
    config = cli.settings(arguments)
    token = os.environ.get("HITSONG_TOKEN") or None

    from hitsong.service.guard import Guard, is_loopback

    if token is None and not is_loopback(arguments.host):
        raise UserError(
            f"--host {arguments.host} can be reached from other machines: set an access token first, "
            "HITSONG_TOKEN=$(openssl rand -hex 16)"
        )
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise UserError(
            f"HITSONG_TOKEN has fewer than {SHORTEST_TOKEN} characters; take openssl rand -hex 16"
        )
    if arguments.max_mb <= 0 or arguments.max_minutes <= 0:
        raise UserError("--max-mb and --max-minutes must be above 0")

    # The model, the decoders, the server
    from hitsong.service import worker

    worker.prepare()  # loads while the model does

    from hitsong.predict.choose import choose
    from hitsong.service.app import start
    from hitsong.service.limits import Limits

    bundle, why = choose(Study.of(config), arguments.model)
    limits = Limits(file_bytes=int(arguments.max_mb * 1e6), seconds=60 * arguments.max_minutes)
    with start(bundle, Guard(arguments.host, token), limits, arguments.host, arguments.port) as server:
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, server.stop)
        info = bundle.info
        print(
            f"{why}; predicts {bundle.target}, learnt from {info['trained_on']['train']:,} tracks of {info['study']}"
        )
        if info["synthetic"]:
            print("careful: these tracks are synthetic; what it says of real songs means nothing")
        print("A score sorts many songs: it is a sieve, and not a verdict on one.")
        print(f"serving on {server.url} (Ctrl-C ends)", flush=True)
        server.run()
    print("serve: ended; what was in flight is answered")


if __name__ == "__main__":
    cli.run(main)
