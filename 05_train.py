"""Train the models.

    python 05_train.py                          # those of train.models
    python 05_train.py crnn                     # one of them
    python 05_train.py crnn --again             # even if it is finished
    python 05_train.py crnn --tune 20           # first try 20 sets of hyper-parameters on validation
    python 05_train.py --set train.seeds=3      # each with three seeds; 06 averages them
    python 05_train.py --set target.kind=popular --set train.loss=ranking

Reads data/<study>/features/ and the frozen splits; leaves one bundle per model in data/<study>/models/. Finished
models are kept as long as their data and settings are the same; an interrupted fit, search or --again goes on
where it was. A model is replaced only when the new one is complete; with other settings the earlier one is kept
aside, and used again without training when its settings return. Where tracks come without audio, only models of
Spotify's audio features are trained.
"""

from hitsong import cli
from hitsong.data.corpus import Corpus
from hitsong.data.tracks import has_audio, load_tracks
from hitsong.predict.neighbours import write_new_neighbours
from hitsong.report import model_card, provenance
from hitsong.study import Stage, Study
from hitsong.training import stage as training
from hitsong.training.recipe import inputs_of_all


def main():
    parser = cli.parser(__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="which of train.models (default: all)")
    parser.add_argument("--again", action="store_true", help="train models that are finished once more")
    parser.add_argument(
        "--tune", type=int, metavar="N", help="search for hyper-parameters, N trials for each model"
    )
    arguments = parser.parse_args()
    config = cli.settings(arguments)
    study = Study.of(config)
    plan = training.plan(arguments.models, study, config)
    stage = Stage(study, "train", config, ["collect", *(["features"] if has_audio(study) else [])])
    left_out = f"no track comes with audio: {', '.join(plan.left_out)} left out" if plan.left_out else None
    if not plan.chosen:
        stage.finish([], {})
        print(f"train: nothing to do, {left_out or 'train.models names no model'}; go on with 06_evaluate.py")
        return
    if left_out:
        print(left_out)

    kinds = inputs_of_all(plan.known, study, config)
    tracks, target, _ = load_tracks(study, config, kinds)
    corpus = Corpus(study, config, tracks, target, kinds)
    sides = training.count_sides(corpus)
    print(f"target: {target}; {sides['train']:,} tracks to train on, {sides['validation']:,} to validate on")
    if cost := training.describe_cost(corpus, plan):
        print(cost, flush=True)
    about = corpus.about() | {"collected_from": provenance.describe_data(study)}

    counts = {True: 0, False: 0}
    for model in training.train(corpus, plan, about, arguments.again, arguments.tune):
        if model.served:
            model_card.write_new_card(model.bundle)
            write_new_neighbours(model.bundle.folder, study, config.features, corpus.tracks)
        print(model.line, flush=True)
        counts[model.trained] += 1

    stage.finish(training.list_bundles(study), sides)
    print(
        f"{counts[True]} models trained, {counts[False]} kept as they were, in {stage.seconds:,.0f} s -> {study.models}"
    )


if __name__ == "__main__":
    cli.run(main)
