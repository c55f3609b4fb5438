"""Train the models.

    python 05_train.py                          # those of train.models
    python 05_train.py crnn                     # one of them
    python 05_train.py crnn --again             # even if it is finished
    python 05_train.py crnn --tune 20           # first try 20 sets of hyper-parameters on validation
    python 05_train.py --set train.seeds=3      # each with three seeds; 06 averages them
    python 05_train.py --set target.kind=popular --set train.loss=ranking

Reads data/<study>/features/ and the frozen splits; leaves one bundle per model in data/<study>/models/. Finished
models are kept as long as their data and settings are the same; an interrupted fit, or search, goes on
where it was. Where tracks come without audio, only models of Spotify's audio features are trained.
"""

import shutil

import pandas as pd

from hitsong import cli
from hitsong.config import nearest
from hitsong.data.corpus import Corpus
from hitsong.data.tracks import has_audio, load_tracks
from hitsong.errors import UserError
from hitsong.evaluation import kinds
from hitsong.models.registry import in_order
from hitsong.progress import summary
from hitsong.report import card, figures
from hitsong.report.sheet import subject
from hitsong.study import Stage, Study
from hitsong.training.recipe import fingerprint as fingerprint_of
from hitsong.training.recipe import inputs_of, inputs_of_all, needs_audio, parts_of, tuned_recipe


def main():
    parser = cli.parser(__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="which of train.models (default: all)")
    parser.add_argument("--again", action="store_true", help="train models that are finished once more")
    parser.add_argument(
        "--tune", type=int, metavar="N", help="search for hyper-parameters, N trials for each model"
    )
    arguments = parser.parse_args()
    config = cli.settings(arguments)
    known = in_order(config.train.models)
    for name in arguments.models:
        if name not in known:
            raise UserError(f"{name}: not one of train.models{nearest(name, known)}")
    study = Study.of(config)
    names, silent = in_order(arguments.models) or known, []
    needs = ["collect"]
    if has_audio(study):
        needs.append("features")
    else:
        silent = [name for name in known if needs_audio(name, study, config)]
        known, names = ([one for one in some if one not in silent] for some in (known, names))
    stage = Stage(study, "train", config, needs)
    if not names:
        stage.finish([], {})
        print("train: nothing to do, no track comes with audio; go on with 06_evaluate.py")
        return
    if silent:
        print(f"no track comes with audio: {', '.join(silent)} left out")

    # Tracks with their targets
    tracks, target, _ = load_tracks(study, config)
    corpus = Corpus(study, config, tracks, target, inputs_of_all(known, study, config))
    counts = corpus.tracks["side"].value_counts()
    sides = {side: int(counts.get(side, 0)) for side in ("train", "validation")}
    print(f"target: {target}; {sides['train']:,} tracks to train on, {sides['validation']:,} to validate on")
    about = corpus.about() | {"collected_from": subject(config, False)}

    # One bundle per model and seed
    from hitsong.training import fit, tuning

    trained = skipped = 0
    for name in names:
        clips = {side: corpus.side(inputs_of(name, study, config), side) for side in sides}
        if arguments.tune:
            print(tuning.search(study.tuning, name, corpus, clips, arguments.tune))
        for number in range(1, config.train.seeds + 1):
            folder = study.model(name, number)
            fingerprint = fingerprint_of(corpus, name, number)
            if arguments.again:
                shutil.rmtree(folder, ignore_errors=True)
            found = fit.status(folder, fingerprint)
            if found == "stale":
                print(f"{name}: its data or settings have changed; training anew")
            elif found == "interrupted":
                print(f"{name}: going on with an interrupted fit")
            bundle = fit.fit(
                folder, name, clips["train"], clips["validation"],
                target=target, recipe=tuned_recipe(name, study, config, number), fingerprint=fingerprint, about=about,
                parts={part: study.model(part, number) for part in parts_of(name, config)},
                logs=folder / "tensorboard" if config.train.tensorboard else None,
            )  # fmt: skip
            if not (folder / "card.md").exists():  # 06 adds to it what the test tracks tell
                if bundle.info["form"] == "network":
                    history = figures.history(
                        pd.read_csv(folder / "history.csv"), name, bundle.info["best_epoch"]
                    )
                    figures.save(history, folder / "history.png")
                card.write(bundle)
            skipped += found == "finished"
            trained += found != "finished"
            main_metric = kinds.main(target.kind)
            print(
                f"{name}{f' (seed {number})' if config.train.seeds > 1 else ''}: "
                f"{'kept' if found == 'finished' else 'trained'}, {card.summary(bundle.info)}, "
                f"validation {main_metric} {bundle.info['validation'][main_metric]:.3f}"
                + ("; COLLAPSED: it predicts one value" if bundle.info["collapsed"] else "")
            )
    bundles = sorted(study.models.glob("*/bundle.json")) + sorted(study.models.glob("*/seed-*/bundle.json"))
    stage.finish(bundles, sides)
    summary("train", trained, skipped, 0, stage.seconds, f"-> {study.models}")


if __name__ == "__main__":
    cli.run(main)
