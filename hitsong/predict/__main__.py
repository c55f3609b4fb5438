"""Predict for audio files with a trained model.

    python -m hitsong.predict song.mp3
    python -m hitsong.predict *.mp3 --csv > scores.csv
    python -m hitsong.predict song.mp3 --json --config configs/mandopop.yaml --model crnn
    python -m hitsong.predict song.mp3 --explain occlusion --out map.png    # or gradients, lime

The numbers are those of the service for the same files. A score helps to sort many songs; about a single song it is
often wrong. Files that cannot be read are named, all others predicted; the exit code is then 2.

--explain draws which parts of the spectrogram raise or lower the score of one file, for models of the mel-spectrogram:
by occlusion (hide one part after the other), integrated gradients (networks only), or LIME (hide random parts).
"""

import csv
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from hitsong import cli
from hitsong.errors import UserError
from hitsong.features.decode import AudioError
from hitsong.features.kinds import settings_of
from hitsong.features.parallel import map_ordered
from hitsong.predict.choose import choose_bundle
from hitsong.predict.predictor import Predictor
from hitsong.predict.song_features import read_features
from hitsong.progress import bar

METHODS = ("occlusion", "gradients", "lime")


def main():
    parser = cli.parser(__doc__)
    parser.prog = "python -m hitsong.predict"
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="MP3, M4A, FLAC, OGG, WAV or a video"
    )
    parser.add_argument(
        "--model", metavar="NAME", help="which model (default: the best that needs only a file)"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--json", action="store_const", const=_print_json, dest="write", help="all values, as JSON"
    )
    form.add_argument("--csv", action="store_const", const=_print_csv, dest="write", help="as CSV")
    form.add_argument("--explain", choices=METHODS, help="draw what raises and lowers the score of one file")
    parser.add_argument(
        "--out", type=Path, metavar="PNG", help="where --explain writes (default: FILE.METHOD.png)"
    )
    parser.add_argument("--output", metavar="NAME", help="which audio feature --explain explains")
    parser.set_defaults(write=_print_table)
    arguments = parser.parse_args()
    if arguments.explain and len(arguments.files) > 1:
        parser.error("--explain takes one file")
    if not arguments.explain and (arguments.out or arguments.output):
        parser.error("--out and --output need --explain")
    config = cli.settings(arguments)
    bundle, reason = choose_bundle(config, arguments.model)
    print(f"{reason}; predicts {bundle.target}", file=sys.stderr)
    if arguments.explain:
        _explain(bundle, arguments.files[0], arguments.explain, arguments.out, arguments.output)
        return
    predictor = Predictor(bundle, ["descriptors"])  # for the warning of unusual songs
    jobs = [_Job(path, predictor.settings) for path in arguments.files]
    workers = 1 if len(jobs) == 1 else config.compute.workers
    songs = bar(map_ordered(_read, jobs, workers), desc="songs", unit="song", total=len(jobs))
    rows = [_row(predictor, path, song) for path, song in zip(arguments.files, songs, strict=True)]
    arguments.write(rows)
    if failed := [row for row in rows if "error" in row]:
        raise UserError("\n".join(f"{row['file']}: {row['error']}" for row in failed))


@dataclass(frozen=True)
class _Job:
    """A file, and which features it needs."""

    path: Path
    settings: object


def _read(job):
    """The features of a file, or the reason why there are none."""
    try:
        return read_features(job.path, job.settings)
    except AudioError as error:
        return str(error)
    except OSError as error:
        return error.strerror


def _row(predictor, path, song):
    """All values for one file."""
    if isinstance(song, str):
        return {"file": str(path), "error": song}
    prediction = predictor.predict(song)
    return {
        "file": str(path),
        "seconds": round(song.seconds, 3),
        "prediction": predictor.value(prediction.scores),
        "interval": predictor.interval(prediction.scores),
        "percentile": predictor.percentile(prediction.scores),
        "warnings": [{"code": code, "message": message} for code, message in prediction.warnings],
    }


# --- Output -----------------------------------------------------------------------------------------


def _print_json(rows):
    json.dump(rows, sys.stdout, indent=2, ensure_ascii=False)
    print()


def _print_csv(rows):
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
    interval, prediction = dict(row["interval"]), row["prediction"]
    line |= prediction if isinstance(prediction, dict) else {"prediction": prediction}
    line["level"] = interval.pop("level")
    if "set" in interval:
        line["set"] = " or ".join(interval.pop("set"))
    for end, values in interval.items():
        line |= {f"{k}_{end}": v for k, v in values.items()} if isinstance(values, dict) else {end: values}
    line |= {name: value for name, value in (row["percentile"] or {}).items() if name != "explained"}
    return line | {"warnings": " ".join(warning["code"] for warning in row["warnings"])}


def _print_table(rows):
    for row in rows:
        if "error" in row:
            continue
        prediction, interval = row["prediction"], row["interval"]
        if isinstance(prediction, dict):
            text = ", ".join(f"{name} {value:.3g}" for name, value in prediction.items())
        elif "set" in interval:
            text = f"{prediction:.3f}"
        else:
            text = f"{prediction:.3g} ({interval['low']:.3g} to {interval['high']:.3g})"
        if "set" in interval:
            text += f", {' or '.join(interval['set']) or 'no class'} ({interval['level']:.0%})"
        if row["percentile"]:
            text += f", above {row['percentile']['among_predictions']:.0f} % of predictions"
        print(f"{row['file']}: {text}")
        for warning in row["warnings"]:
            print(f"    careful: {warning['message']}")


# --- Explanation ------------------------------------------------------------------------------------


def _explain(bundle, path, method, out, output):
    """Draw a map of what raises and lowers the score of one file."""
    from hitsong.explain import mels
    from hitsong.files import replacing
    from hitsong.report import explanation_figures  # Matplotlib takes a second

    target, form = bundle.target, bundle.info["form"]
    if "mel" not in bundle.info["inputs"]:
        inputs = ", ".join(bundle.info["inputs"])
        raise UserError(f"{bundle.info['name']} takes {inputs}, no mel-spectrogram: choose another --model")
    if method == "gradients" and form != "network":
        raise UserError(f"{bundle.info['name']} is no network: choose --explain occlusion or lime")
    if target.kind == "audio_features":
        output = output or target.names[0]
        if output not in target.names:
            raise UserError(f"--output {output}: the model predicts {', '.join(target.names)}")
    elif output:
        raise UserError(f"--output is for models of several audio features; this one predicts {target}")
    predictor = Predictor(bundle)
    try:
        song = read_features(path, predictor.settings)
    except (AudioError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{path}: {reason}") from None
    features = predictor.predict(song).features
    settings = settings_of({"mel": bundle.info["inputs"]["mel"]["parameters"]}).mel
    predict = mels.score_of_mels(mels.score_function(bundle, output), features)
    values, score, note = _MAPS[method](bundle, predict, features, mels.patch_size(settings), output)
    unit = target.unit(output)
    title = f"{path.name}\n{score:.3g} {unit}{note}"
    label = explanation_figures.LABELS[method].format(unit)
    figure = explanation_figures.over_spectrogram(features["mel"], values, settings, label, title)
    out = out or path.with_name(f"{path.name}.{method}.png")
    with replacing(out) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    print(f"{path}: {score:.3g} {unit}{note}; map of {method}: {out}")


def _occlusion(bundle, predict, features, patch, output):
    from hitsong.explain.occlusion import occlusion

    result = occlusion(predict, features["mel"], patch)
    return result.values, result.score, ""


def _gradients(bundle, predict, features, patch, output):
    from hitsong.explain.gradients import integrated_gradients, sum_over_patches
    from hitsong.explain.mels import band_medians

    baseline = {"mel": band_medians(features["mel"])}
    result = integrated_gradients(bundle.model, features, baseline, output)
    return sum_over_patches(result.values["mel"], patch), float(predict(features["mel"][None])[0]), ""


def _lime(bundle, predict, features, patch, output):
    from hitsong.explain.lime import lime

    result = lime(predict, features["mel"], patch)
    return result.values, result.score, f" (LIME explains {max(0, result.r2):.0%} of its variance nearby)"


_MAPS = {"occlusion": _occlusion, "gradients": _gradients, "lime": _lime}


if __name__ == "__main__":
    cli.run(main)
