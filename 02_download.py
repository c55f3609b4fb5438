"""Download the preview of every track, or check the audio files that the source named.

    python 02_download.py
    python 02_download.py --set download.workers=16

Reads data/<study>/tracks.parquet; leaves data/<study>/previews/ and data/<study>/downloads.parquet.
A file that is there has been decoded and is not fetched again; addresses that are dead are not asked
again; failures are.
"""

import pandas as pd

from hitsong import cli, recordings
from hitsong.download import download
from hitsong.errors import UserError
from hitsong.files import write_table
from hitsong.sources.connection import connected
from hitsong.study import Stage, Study


def main():
    config = cli.settings(cli.parser(__doc__).parse_args())
    study = Study.of(config)
    stage = Stage(study, "download", config, [("collect", study.tracks)])
    tracks = recordings.read(study.tracks)
    earlier = pd.read_parquet(study.downloads) if study.downloads.exists() else None

    # Fetch and verify
    with connected(config) as connection:
        downloads, counts = download(tracks, earlier, study.folder, connection.session, config.download)
    write_table(study.downloads, downloads)
    stage.finish([study.downloads], counts)

    # Say what happened
    bad = downloads[downloads["status"] != "ok"]
    for reason, number in bad["error"].value_counts().items():
        print(f"{number:,} without a clip: {reason}")
    if counts["without"]:
        print(f"{counts['without']:,} without a clip: the source names no preview")
    if len(bad) == len(downloads):
        raise UserError("no track has a clip; 04_baseline.py needs none, 03 and 05 cannot go on")
    cli.summary(
        "download",
        counts["done"],
        counts["skipped"],
        counts["failed"],
        stage.seconds,
        f"-> {study.downloads}",
    )


if __name__ == "__main__":
    cli.run(main)
