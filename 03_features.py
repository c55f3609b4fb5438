"""Turn the clips into what the models hear: mel-spectrograms.

    python 03_features.py
    python 03_features.py --set features.mel.n_mels=96

Reads data/<study>/downloads.parquet; leaves data/<study>/features/: one array per kind, one index.
Clips already in the index are kept as long as their kind's parameters are the same. Tracks without audio leave
nothing to do.
"""

from pathlib import Path

import pandas as pd

from hitsong import cli, dataset
from hitsong.features.extract import extract
from hitsong.features.store import Store
from hitsong.study import Stage, Study


def main():
    config = cli.settings(cli.parser(__doc__).parse_args())
    study = Study.of(config)
    stage = Stage(study, "features", config, [("download", study.downloads)])
    downloads = pd.read_parquet(study.downloads)

    if not dataset.has_audio(study):
        stage.finish([], {})
        print("features: nothing to do, no track comes with audio; go on with 04_baseline.py")
        return

    # Every clip gets a row, every kind fills it
    store = Store(study.features)
    store.extend(downloads[downloads["status"] == "ok"])
    counts = extract(store, config.features, Path(study.folder), config.compute.workers)
    outputs = [store.index_path, store.failures_path, *(store.folder / f"{kind}.json" for kind in counts)]
    stage.finish(
        outputs,
        {kind: dict(zip(("done", "skipped", "failed"), n, strict=True)) for kind, n in counts.items()},
    )

    # Say what happened
    for reason, number in store.failures()["reason"].value_counts().items():
        print(f"{number:,} without features: {reason}")
    for kind, (done, skipped, failed) in counts.items():
        megabytes = (store.folder / f"{kind}.npy").stat().st_size / 1e6
        cli.summary(
            f"features {kind}", done, skipped, failed, stage.seconds, f"{megabytes:,.1f} MB in {store.folder}"
        )


if __name__ == "__main__":
    cli.run(main)
