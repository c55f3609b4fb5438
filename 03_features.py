"""Turn the clips into features: mel-spectrograms, MFCCs, descriptors, music tags.

    python 03_features.py
    python 03_features.py --set features.mel.n_mels=96
    python 03_features.py --set 'features.kinds=[mel, descriptors, tags, embedding]'
    python 03_features.py --again               # clips that failed are all tried again

Reads data/<study>/downloads.parquet; leaves data/<study>/features/: one array per kind, one index, and a
picture of one clip's features. Clips already in the index are kept as long as their audio and their kind's parameters
are the same. Tracks without audio (a table of numbers) leave nothing to do.
"""

import pandas as pd

from hitsong import cli
from hitsong.data.tracks import has_audio
from hitsong.features.extract import extract
from hitsong.features.store import Store
from hitsong.features.summary import summarize
from hitsong.report import clip_picture
from hitsong.study import Stage, Study


def main():
    parser = cli.parser(__doc__)
    parser.add_argument("--again", action="store_true", help="try all clips again that failed")
    arguments = parser.parse_args()
    config = cli.settings(arguments)
    study = Study.of(config)
    stage = Stage(study, "features", config, ["collect", "download"])
    downloads = pd.read_parquet(study.downloads)

    if not has_audio(study):
        stage.finish([], {})
        print("features: nothing to do, no track comes with audio; go on with 04_baseline.py")
        return

    # Every clip gets a row, every kind fills it
    store = Store(study.features)
    store.extend(downloads[downloads["status"] == "ok"])
    counts, notes = extract(store, config.features, study.folder, config.compute, arguments.again)
    outputs = [store.index_path, store.failures_path, *(store.folder / f"{kind}.json" for kind in counts)]
    stage.finish(outputs, {kind: vars(count) for kind, count in counts.items()})
    clip_picture.draw(store, config.features, study.folder)
    summarize(store, counts, notes, stage.seconds)


if __name__ == "__main__":
    cli.run(main)
