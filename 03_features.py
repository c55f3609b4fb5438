"""Turn the clips into what the models hear: mel-spectrograms, MFCCs, descriptors, music tags.

    python 03_features.py
    python 03_features.py --set features.mel.n_mels=96
    python 03_features.py --set 'features.kinds=[mel, descriptors, tags, embedding]'

Reads data/<study>/downloads.parquet; leaves data/<study>/features/: one array per kind, one index, and a
sheet that shows one clip's features. Clips already in the index are kept as long as their kind's parameters
are the same. Tracks without audio (a table of numbers) leave nothing to do.
"""

import pandas as pd

from hitsong import cli
from hitsong.data.tracks import has_audio
from hitsong.features.extract import extract
from hitsong.features.store import Store
from hitsong.progress import summary
from hitsong.report import clip
from hitsong.study import Stage, Study


def main():
    config = cli.settings(cli.parser(__doc__).parse_args())
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
    counts = extract(store, config.features, study.folder, config.compute)
    outputs = [store.index_path, store.failures_path, *(store.folder / f"{kind}.json" for kind in counts)]
    stage.finish(outputs, {kind: vars(count) for kind, count in counts.items()})
    clip.draw(store, config.features, study.folder)

    # Say what happened
    for (kind, reason), number in store.failures().value_counts(["kind", "reason"]).items():
        print(f"{number:,} without {kind}: {reason}")
    for kind, count in counts.items():
        megabytes = (store.folder / f"{kind}.npy").stat().st_size / 1e6
        note = f"{megabytes:,.1f} MB in {store.folder}"
        summary(f"features {kind}", count.done, count.skipped, count.failed, stage.seconds, note)


if __name__ == "__main__":
    cli.run(main)
