"""Train the models that hear the clips.

    python 05_train.py                          # those of train.models
    python 05_train.py crnn                     # one of them
    python 05_train.py crnn --again             # even if it is finished
    python 05_train.py --set target.kind=popular

Reads data/<study>/features/ and the frozen splits; leaves one bundle per model in data/<study>/models/.
Finished models are kept as long as their data and settings are the same; an interrupted fit goes on
from its last epoch. Tracks without audio leave nothing to do.
"""

import shutil

from hitsong import cli, dataset, metrics
from hitsong.config import nearest
from hitsong.errors import UserError
from hitsong.study import Stage, Study


def main():
    parser = cli.parser(__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="which of train.models (default: all)")
    parser.add_argument("--again", action="store_true", help="train models that are finished once more")
    arguments = parser.parse_args()
    config = cli.settings(arguments)
    for name in arguments.models:
        if name not in config.train.models:
            raise UserError(f"{name}: not one of train.models{nearest(name, config.train.models)}")
    study = Study.of(config)
    if not dataset.has_audio(study):
        stage = Stage(study, "train", config, [("collect", study.tracks)])
        stage.finish([], {})
        print("train: nothing to do, no track comes with audio; go on with 06_evaluate.py")
        return
    index = study.features / "index.parquet"
    stage = Stage(study, "train", config, [("collect", study.tracks), ("features", index)])

    # Clips with their targets
    tracks, target, _ = dataset.labelled(study, config)
    feature = dataset.mels(study, config)
    tracks = dataset.heard(tracks, feature)
    sides = {
        side: dataset.examples(tracks[tracks["side"] == side], feature, target)
        for side in ("train", "validation")
    }
    print(
        f"target: {target}; {len(sides['train']):,} clips to train on, {len(sides['validation']):,} to validate on"
    )

    # One bundle per model
    from hitsong import training

    trained = skipped = 0
    for name in arguments.models or config.train.models:
        folder = study.models / name
        fingerprint = {"model": name, **dataset.fingerprint(tracks, feature, target, config)}
        if arguments.again:
            shutil.rmtree(folder, ignore_errors=True)
        found = training.status(folder, fingerprint)
        if found == "stale":
            print(f"{name}: its data or settings have changed; training anew")
        elif found == "interrupted":
            print(f"{name}: going on with an interrupted fit")
        bundle = training.fit(
            folder, name, **sides, target=target.description(), settings=config.train, fingerprint=fingerprint
        )
        skipped += found == "finished"
        trained += found != "finished"
        main_metric = metrics.MAIN[target.kind]
        seen = bundle.predict(sides["validation"])
        score = metrics.evaluate(target.kind, sides["validation"].y, seen)[main_metric]
        print(
            f"{name}: {'kept' if found == 'finished' else 'trained'}, {bundle.info['parameters']:,} parameters, "
            f"epoch {bundle.info['best_epoch']} of {bundle.info['epochs']} (stopped by {bundle.info['stopped']}), "
            f"validation {main_metric} {score:.3f}"
            + ("; COLLAPSED: it predicts one value" if bundle.info["collapsed"] else "")
        )
    bundles = sorted(study.models.glob("*/bundle.json"))
    stage.finish(bundles, {side: len(clips) for side, clips in sides.items()})
    cli.summary("train", trained, skipped, 0, stage.seconds, f"-> {study.models}")


if __name__ == "__main__":
    cli.run(main)
