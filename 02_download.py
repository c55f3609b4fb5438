"""Download the preview of every track, or check the audio files that the source named.

    python 02_download.py
    python 02_download.py --set previews.workers=16
    python 02_download.py --again          # ask dead addresses once more

Reads data/<study>/tracks.parquet; leaves data/<study>/previews/ and data/<study>/downloads.parquet.
A file that is there has been decoded and is not fetched again; addresses that are dead are not asked
again; failures are. Tracks without audio (a table of numbers) leave nothing to do, here and in 03 and 05.
"""

import pandas as pd

from hitsong import cli
from hitsong.collect import deduplicate, previews, sources
from hitsong.collect.catalog import Catalog
from hitsong.data.tracks import has_audio
from hitsong.errors import UserError
from hitsong.files import write_table
from hitsong.progress import summary
from hitsong.study import Stage, Study


def main():
    parser = cli.parser(__doc__)
    parser.add_argument("--again", action="store_true", help="ask addresses that were dead once more")
    arguments = parser.parse_args()
    config = cli.settings(arguments)
    study = Study.of(config)
    stage = Stage(study, "download", config, ["collect"])
    tracks = deduplicate.read(study.tracks)
    if not has_audio(study):
        write_table(study.downloads, pd.DataFrame(columns=previews.COLUMNS))
        stage.finish([study.downloads], {"without": len(tracks)})
        print(f"download: nothing to do, none of the {len(tracks):,} tracks comes with audio; go on with 04")
        return

    # Fetch and verify; then fold tracks of the very same audio into one
    with Catalog(study.catalog) as catalog, sources.previews(config) as (session, resolve):
        downloader = previews.Downloader(catalog, study.folder, session, config.download, resolve)
        counts = downloader.run(tracks, again=arguments.again)
        downloads = previews.table(catalog, tracks)
    write_table(study.downloads, downloads)
    copies = deduplicate.read_copies(study.copies)
    write_table(study.copies, deduplicate.with_audio_copies(copies, downloads, tracks))
    stage.finish([study.downloads], counts)

    # Say what happened
    duplicates = int((downloads["status"] == "duplicate").sum())
    bad = downloads[downloads["status"].isin(["dead", "failed"])]
    for reason, number in bad["error"].value_counts().items():
        print(f"{number:,} without a clip: {reason}")
    if counts["without"]:
        print(f"{counts['without']:,} without a clip: the source names no preview")
    if duplicates:
        print(f"{duplicates:,} set aside: the same audio as a more popular track ({study.copies})")
    if len(bad) == len(downloads):
        raise UserError("no track has a clip; 04_baseline.py needs none, 03 and 05 cannot go on")
    done, skipped, failed = (counts[name] for name in ("done", "skipped", "failed"))
    summary("download", done, skipped, failed, stage.seconds, f"-> {study.downloads}")


if __name__ == "__main__":
    cli.run(main)
