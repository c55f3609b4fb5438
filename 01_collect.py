"""Collect a genre's tracks into the study's catalogue.

    python 01_collect.py                                      # as config.yaml says
    python 01_collect.py --set collect.genre=hip-hop          # another genre
    python 01_collect.py --config configs/fma.yaml --set collect.root=PATH

Search the genre's artists -> all their albums -> all tracks -> popularity and audio features, kept in
data/<study>/catalog.sqlite; then one row per recording in data/<study>/tracks.parquet. What the
catalogue already holds is not asked again: a stopped crawl goes on where it was.
"""

from hitsong import cli, recordings, sources
from hitsong.catalog import Catalog
from hitsong.errors import UserError
from hitsong.files import write_table
from hitsong.study import Stage, Study


def main():
    config = cli.settings(cli.parser(__doc__).parse_args())
    study = Study.of(config)
    stage = Stage(study, "collect", config)

    # Crawl
    with Catalog(study.catalog) as catalog, sources.opened(config) as source:
        if source.notice:
            print(source.notice)
        requests = source.collect(catalog)
        tracks = recordings.table(catalog, source.track_ids(catalog))

    # One row per recording
    found, fallen = recordings.deduplicate(tracks)
    if found.empty:
        raise UserError(f"{study.catalog} holds no track with a popularity: nothing to go on with")
    changed = recordings.write(study.tracks, found)
    outputs = [study.tracks]
    if source.planted is not None:
        write_table(study.planted, source.planted)
        outputs.append(study.planted)
    counts = {"tracks": len(tracks), "recordings": len(found), "fallen": fallen, "requests": requests}
    stage.finish(outputs, counts)

    print(
        f"{len(tracks):,} tracks -> {len(found):,} recordings "
        f"(copies by preview {fallen['preview']:,}, by ISRC {fallen['isrc']:,}, by title {fallen['title']:,})"
    )
    note = (
        f"{requests:,} requests -> {study.tracks}"
        if requests or changed
        else f"nothing new; {study.tracks} kept"
    )
    cli.summary("collect", len(found) if changed else 0, 0 if changed else len(found), 0, stage.seconds, note)


if __name__ == "__main__":
    cli.run(main)
