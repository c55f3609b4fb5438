"""What all scripts share: their arguments, their exit codes and their closing line."""

import argparse
import shlex
import sys
from pathlib import Path

from hitsong import config
from hitsong.errors import ComeBackLater, UserError
from hitsong.features import kinds
from hitsong.models import registry
from hitsong.study import set_options


def parser(doc):
    """An argument parser that shows the script's docstring, with --config and --set."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--config", metavar="PATH", help="the run's settings (default: the study's own, else config.yaml)"
    )
    parser.add_argument(
        "--study", metavar="NAME", help="go on with this study, with the settings of its last run"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE",
        help="change one setting for this run, for example --set collect.genre=hip-hop; may be repeated",
    )  # fmt: skip
    return parser


def settings(arguments):
    """The config that the arguments ask for.

    `--study NAME` takes the settings that the study was last run with, if it has been run, and `--config PATH`
    those of a file; without either, config.yaml. `--set` changes single settings.

    Raises
    ------
    UserError
        If a setting is not valid, or `train.models` or `train.parameters` names a model that does not exist.
    """
    set_options(options(arguments))
    overrides = [*arguments.set, *([f"study={arguments.study}"] if arguments.study else [])]
    path = Path(arguments.config or "config.yaml")
    kept = kept_config(overrides) if arguments.config is None else None
    if arguments.study and not (arguments.config or kept):
        raise UserError(
            f"--study {arguments.study}: there is no such study to go on with; to begin one: "
            f"python 01_collect.py --set study={arguments.study} --set KEY=VALUE ..."
        )
    path = kept or path
    settings = config.load(path, overrides)
    registry.require(settings.train.models)
    registry.require(settings.train.parameters, "train.parameters")
    kinds.check_config(settings)
    return settings


def kept_config(overrides):
    """The settings that a study was last run with: their path, or None if the overrides name no such study."""
    given = dict(override.split("=", 1) for override in overrides if "=" in override)
    if "study" not in given:
        return None
    path = Path(given.get("data", "data")) / given["study"] / "config.yaml"
    return path if path.exists() else None


def options(arguments):
    """The shared arguments as they would be typed again."""
    given = ["--config", arguments.config] if arguments.config else []
    given += ["--study", arguments.study] if arguments.study else []
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
