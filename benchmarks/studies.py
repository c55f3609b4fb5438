"""Run the presets of all five studies, small, from start to finish: `make studies`.

    python benchmarks/studies.py                     # all five
    python benchmarks/studies.py hiphop fma          # some of them
    python benchmarks/studies.py --fma FOLDER        # where fma_metadata/ and fma_small/ lie

Each preset as it stands, with every model that it names at the size of its study's inputs; what is changed is said.
Four run on a few synthetic songs, `fma` on real clips. Two epochs teach nothing: this shows that the studies run,
and what they cost, not how good they are.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from hitsong.config import load
from hitsong.files import read_json
from hitsong.study import STAGES
from standin import playlist_ids

ROOT = Path(__file__).parents[1]
SMALL = ["train.epochs=2", "train.batch_size=8", "evaluate.draws=200", "data=data/studies"]
SYNTHETIC = ["collect.api=standin", "standin.artists=40", "standin.recordings=90"]
PRESETS = {
    "mandopop": SYNTHETIC,
    "hiphop": [*SYNTHETIC, "collect.years=2000-2026"],
    "fma": [],
    "song_features": [*SYNTHETIC, "standin.recordings=24", "standin.artists=16"],
    "discover": [*SYNTHETIC, "collect.strategy=playlist"],
}


def overrides(name, fma):
    """What is changed of a preset."""
    changed = [*SMALL, *PRESETS[name]]
    if name == "fma":
        changed.append(f"collect.root={fma}")
    if name == "discover":
        config = load(ROOT / "configs" / "discover.yaml", changed[:-1] + ["collect.strategy=artists"])
        changed.append(f"collect.playlist={playlist_ids(config.standin, 'mandopop')[0]}")
    return changed


def run(name, fma):
    """Run all stages; the seconds that each took."""
    arguments = ["--config", f"configs/{name}.yaml"]
    for change in overrides(name, fma):
        arguments += ["--set", change]
    print(f"\n== {name}: {' '.join(arguments[2:])}", flush=True)
    seconds = {}
    for stage in STAGES:
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, STAGES[stage][0], *arguments], cwd=ROOT, capture_output=True, text=True
        )
        seconds[stage] = time.monotonic() - started
        if done.returncode:
            sys.exit(f"{STAGES[stage][0]} {' '.join(arguments)}\n{done.stdout}{done.stderr}")
        shown = done.stdout if stage in ("train", "evaluate") else done.stdout.splitlines()[-1] + "\n"
        print(shown, end="", flush=True)
    print(f"{name}: " + ", ".join(f"{stage} {took:.0f} s" for stage, took in seconds.items()))
    return sum(seconds.values())


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("presets", nargs="*", metavar="PRESET")
    parser.add_argument("--fma", default="../shared/data/fma_mini", help="default: %(default)s")
    arguments = parser.parse_args()
    names = arguments.presets or list(PRESETS)
    if "fma" in names and not (ROOT / arguments.fma).is_dir():
        sys.exit(f"fma: there is no {arguments.fma}; name the folder with --fma")
    took = {name: run(name, arguments.fma) for name in names}
    print()
    for name, seconds in took.items():
        report = read_json(ROOT / "data" / "studies" / name / "report" / "metrics.json")
        print(
            f"{name:15}{seconds:6.0f} s   {len(report['rows']):2} rows, best on validation: {report['best']}"
        )


if __name__ == "__main__":
    main()
