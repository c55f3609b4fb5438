"""Run the stand-in by hand: python -m hitsong.standin --port 8801

Then, for example:

    curl -u synthetic-client-id:synthetic-client-secret -d grant_type=client_credentials http://127.0.0.1:8801/api/token
    curl -H "Authorization: Bearer synthetic-token" "http://127.0.0.1:8801/v1/search?q=genre:mandopop&type=artist"
"""

import argparse
import threading

from hitsong import config
from hitsong.standin import serve


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=8801, help="0 takes any free port (default: %(default)s)")
    parser.add_argument("--config", help="take the section `standin` of this file instead of the defaults")
    arguments = parser.parse_args()
    settings = config.load(arguments.config).standin if arguments.config else config.Standin()
    with serve(settings, arguments.port) as standin:
        print(f"A synthetic Spotify listens on {standin.url}; Ctrl-C stops it.", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print(f"{standin.requests} requests answered.")


if __name__ == "__main__":
    main()
