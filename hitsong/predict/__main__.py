"""Judge songs with a trained model.

    python -m hitsong.predict song.mp3
    python -m hitsong.predict *.mp3 --csv > scores.csv
    python -m hitsong.predict song.mp3 --json --config configs/mandopop.yaml --model crnn

The numbers are those of the service for the same files. A score sorts many songs: it is a sieve, and not a verdict
on one. Files that cannot be heard are named, the others judged; the exit code is then 2.
"""

import csv
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from hitsong import cli
from hitsong.errors import UserError
from hitsong.features.decode import AudioError
from hitsong.features.parallel import over
from hitsong.predict.choose import choose
from hitsong.predict.clip import hear
from hitsong.predict.predictor import Listener
from hitsong.progress import bar
from hitsong.study import Study


def main():
    parser = cli.parser(__doc__)
    parser.prog = "python -m hitsong.predict"
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="MP3, FLAC, OGG or WAV")
    parser.add_argument(
        "--model", metavar="NAME", help="which model (default: the best that can judge a file)"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--json", action="store_const", const=_json, dest="write", help="as JSON, with all there is"
    )
    form.add_argument("--csv", action="store_const", const=_csv, dest="write", help="as CSV")
    parser.set_defaults(write=_table)
    arguments = parser.parse_args()
    config = cli.settings(arguments)
    bundle, why = choose(Study.of(config), arguments.model)
    print(f"{why}; predicts {bundle.target}", file=sys.stderr)

    listener = Listener(bundle, ["descriptors"])  # by which what is unusual is known
    jobs = [_Job(path, listener.settings) for path in arguments.files]
    workers = 1 if len(jobs) == 1 else config.compute.workers
    heard = bar(over(_hear, jobs, workers), desc="songs", unit="song", total=len(jobs))
    rows = [_row(listener, path, one) for path, one in zip(arguments.files, heard, strict=True)]
    arguments.write(rows)
    if failed := [row for row in rows if "error" in row]:
        raise UserError("\n".join(f"{row['file']}: {row['error']}" for row in failed))


@dataclass(frozen=True)
class _Job:
    """A file, and which features it needs."""

    path: Path
    settings: object


def _hear(job):
    """What was made of a file, or the reason why nothing was."""
    try:
        return hear(job.path, job.settings)
    except AudioError as error:
        return str(error)
    except OSError as error:
        return error.strerror


def _row(listener, path, heard):
    """All that is said of a file."""
    if isinstance(heard, str):
        return {"file": str(path), "error": heard}
    found = listener.judge(heard)
    return {
        "file": str(path),
        "seconds": round(heard.seconds, 3),
        "prediction": listener.prediction(found.scores),
        "interval": listener.interval(found.scores),
        "percentile": listener.percentile(found.scores),
        "warnings": [{"code": code, "message": message} for code, message in found.warnings],
    }


# --- Output -----------------------------------------------------------------------------------------


def _json(rows):
    json.dump(rows, sys.stdout, indent=2, ensure_ascii=False)
    print()


def _csv(rows):
    lines = [_flat(row) for row in rows]
    columns = list(dict.fromkeys(name for line in lines for name in line))
    writer = csv.DictWriter(sys.stdout, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)


def _flat(row):
    """A row as one line of named values: `prediction`, or `danceability`, `danceability_low` and so on."""
    if "error" in row:
        return row
    line = {"file": row["file"], "seconds": row["seconds"]}
    interval = dict(row["interval"])
    several = row["prediction"] if isinstance(row["prediction"], dict) else {"prediction": row["prediction"]}
    line |= several
    line["level"] = interval.pop("level")
    if "set" in interval:
        line["set"] = " or ".join(interval["set"])
    for end, values in ((end, interval[end]) for end in ("low", "high") if end in interval):
        line |= (
            {f"{name}_{end}": value for name, value in values.items()}
            if isinstance(values, dict)
            else {end: values}
        )
    line |= {name: value for name, value in (row["percentile"] or {}).items() if name != "explained"}
    return line | {"warnings": " ".join(warning["code"] for warning in row["warnings"])}


def _table(rows):
    for row in rows:
        if "error" in row:
            continue
        prediction, interval = row["prediction"], row["interval"]
        if isinstance(prediction, dict):
            said = ", ".join(f"{name} {value:.3g}" for name, value in prediction.items())
        elif "set" in interval:
            said = f"{prediction:.3f}"
        else:
            said = f"{prediction:.3g} ({interval['low']:.3g} to {interval['high']:.3g})"
        if "set" in interval:
            said += f", {' or '.join(interval['set']) or 'no class'} ({interval['level']:.0%})"
        if row["percentile"]:
            said += f", above {row['percentile']['among_predictions']:.0f} % of predictions"
        print(f"{row['file']}: {said}")
        for warning in row["warnings"]:
            print(f"    careful: {warning['message']}")


if __name__ == "__main__":
    cli.run(main)
