"""What all scripts share: their arguments, their exit codes and their closing line."""

import argparse
import shlex
import sys

from hitsong import config
from hitsong.errors import ComeBackLater, UserError
from hitsong.models import registry


def parser(doc):
    """An argument parser that shows the script's docstring, with --config and --set."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--config", default="config.yaml", metavar="PATH", help="the run's settings (default: config.yaml)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE",
        help="change one setting for this run, for example --set collect.genre=hip-hop; may be repeated",
    )  # fmt: skip
    return parser


def settings(arguments):
    """The config that the arguments ask for, its models among those there are."""
    found = config.load(arguments.config, arguments.set)
    registry.require(found.train.models)
    return found


def options(arguments):
    """The shared arguments as they would be typed again."""
    given = [] if arguments.config == "config.yaml" else ["--config", arguments.config]
    for override in arguments.set:
        given += ["--set", override]
    return shlex.join(given)


def run(main):
    """Call a script's `main` and turn the errors a user can cause into a line and an exit code."""
    try:
        main()
    except UserError as error:
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        if isinstance(error, ComeBackLater):
            print(f"to go on: {shlex.join(['python', *sys.argv])}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("stopped; the same command continues where this one was", file=sys.stderr)
        sys.exit(130)
