"""Serve a trained model: an API, and a page to try songs on.

    python 07_serve.py                          # http://127.0.0.1:8787, the study's best model
    python 07_serve.py --model crnn --port 9000
    python 07_serve.py --bundle FOLDER          # a copy of data/<study>/models/<name>/, without the study
    HITSONG_TOKEN=... python 07_serve.py --host 0.0.0.0

Reads data/<study>/models/ and report/metrics.json; writes nothing. Songs are sent to POST /predict (one, field
`file`) or POST /rank (several, field `files`); /docs describes the rest. Ctrl-C or SIGTERM stops it after the requests
in flight. On a network, put a proxy with TLS before it: the token is sent as it is. Standard error has a line of JSON
for each request.
"""

import gc
import os
from pathlib import Path

from hitsong import cli


def main():
    parser = cli.parser(__doc__)
    model = parser.add_mutually_exclusive_group()
    model.add_argument("--model", metavar="NAME", help="default: the best that needs only a file")
    model.add_argument(
        "--bundle",
        type=Path,
        metavar="FOLDER",
        help="a model from somebody you trust: its files can run code",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8787, help="0 takes any free port (default: %(default)s)")
    parser.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="URL",
        help="another site whose pages may use the API (CORS); may be repeated",
    )
    parser.add_argument("--max-mb", type=float, default=30, help="largest file (default: %(default)s)")
    parser.add_argument("--max-minutes", type=float, default=10, help="longest sound (default: %(default)s)")
    arguments = parser.parse_args()
    gc.disable()  # what is loaded stays in use: looking for garbage in it takes a quarter of a second
    config = None if arguments.bundle else cli.settings(arguments)
    token = os.environ.pop("HITSONG_TOKEN", None) or None  # decoder processes must not inherit it

    from hitsong.service import options

    limits = options.check(arguments, token)

    from hitsong.service.decoders import start_fork_server

    start_fork_server()  # loads its libraries while the model is loaded

    from hitsong.predict.choose import choose_bundle, load_bundle
    from hitsong.service.access import AccessControl
    from hitsong.service.app import start
    from hitsong.service.middleware import write_access_log

    bundle, reason = choose_bundle(config, arguments.model) if config else load_bundle(arguments.bundle)
    access = AccessControl(arguments.host, token, arguments.allow_origin)
    with start(bundle, access, limits, arguments.host, arguments.port) as server:
        for line in options.describe(bundle, reason):
            print(line)
        write_access_log()
        gc.freeze()
        gc.enable()
        print(f"serving on {server.url} (Ctrl-C stops)", flush=True)
        server.run()
    print("serve: stopped; the requests in flight were finished")


if __name__ == "__main__":
    cli.run(main)
