"""Download the preview of every track, or check the audio files that the source named.

    python 02_download.py
    python 02_download.py --set download.workers=16
    python 02_download.py --again          # also: dead addresses once more, and every file against its hash

Reads data/<study>/tracks.parquet; leaves data/<study>/previews/ and data/<study>/downloads.parquet. Tracks that the
source has no preview of are looked up at Deezer by ISRC, or title, artist and duration (`download.previews`); doubtful
matches are left out and listed in data/<study>/unmatched.csv.
A file that is present, decoded and unchanged is kept; addresses that are dead are not requested again; failures
are. Tracks without audio (a table of numbers) leave nothing to do, here and in 03 and 05.
"""

import pandas as pd

from hitsong import cli
from hitsong.collect import deduplicate, matched_previews, previews, sources
from hitsong.collect.catalog import Catalog
from hitsong.files import write_table
from hitsong.study import Stage, Study


def main():
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--again",
        action="store_true",
        help="request dead addresses once more and verify every file's content",
    )
    arguments = parser.parse_args()
    config = cli.settings(arguments)
    study = Study.of(config)
    stage = Stage(study, "download", config, ["collect"])
    tracks, wanted = matched_previews.choose_sources(deduplicate.read(study.tracks), config)
    if not wanted.any() and tracks["preview_source"].isna().all():
        write_table(study.downloads, pd.DataFrame(columns=previews.COLUMNS))
        stage.finish([study.downloads], {"without": len(tracks)})
        print(f"download: nothing to do, none of the {len(tracks):,} tracks comes with audio; go on with 04")
        return

    # Look up at Deezer what the source has no audio of
    with (
        sources.open_previews(config, wanted.any()) as (session, client),
        Catalog(study.catalog, client.scope if client else "") as catalog,
    ):
        tracks, unmatched = matched_previews.add_matches(tracks, wanted, client, catalog)
        write_table(study.unmatched, unmatched)
        for line in matched_previews.describe(tracks, wanted, unmatched):
            print(line)

        # Fetch and verify; then leave out all but one track of the same audio
        downloader = previews.Downloader(catalog, study.folder, session, config.download, client)
        counts = downloader.run(tracks, again=arguments.again)
        downloads = downloader.outcomes(tracks)
    write_table(study.downloads, downloads)
    copies = deduplicate.read_copies(study.copies)
    write_table(study.copies, deduplicate.with_audio_copies(copies, downloads, tracks))
    stage.finish([study.downloads], counts)

    previews.print_outcomes(downloads, counts, study.copies)
    print(
        f"download: {counts['done']:,} new clips, {counts['skipped']:,} kept as they were, {counts['failed']:,} "
        f"failed, in {stage.seconds:,.0f} s -> {study.downloads}"
    )


if __name__ == "__main__":
    cli.run(main)
