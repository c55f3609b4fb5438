"""Show which stages of a study are current, stale or missing, and the command to run next.

    python 00_status.py                         # the study that config.yaml names
    python 00_status.py --study hiphop

Compares what lies in data/<study>/ with the settings, by the checks that the stages themselves make; changes nothing.
"""

from hitsong import cli
from hitsong.collect import history
from hitsong.study import STAGES, Study, command
from hitsong.training.status import states


def main():
    config = cli.settings(cli.parser(__doc__).parse_args())
    study = Study.of(config)
    print(f"{study.folder}: " + ("synthetic songs" if study.synthetic else f"source {config.collect.source}"))
    stages = states(study, config)
    for name, (state, detail) in stages.items():
        print(f"  {STAGES[name][0]:16}{state:9}{detail}".rstrip())
    if study.history.exists():
        print(f"  {'history':16}{history.describe(history.read(study.history))}")
    todo = [name for name, (state, _) in stages.items() if state != "current"]
    print(f"next: {command(todo[0])}" if todo else "every stage is current")


if __name__ == "__main__":
    cli.run(main)
