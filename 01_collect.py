"""Collect tracks into the study's catalogue.

    python 01_collect.py                                      # as config.yaml says
    python 01_collect.py --set collect.genre=hip-hop          # another genre
    python 01_collect.py --config configs/fma.yaml --set collect.root=PATH

Spotify: search the genre's artists -> all their albums -> all tracks -> popularity and audio features; or
by track search, from a file of ids, from a playlist. Or from Deezer, FMA, or a table. All of it is kept in
data/<study>/catalog.sqlite, then one row per recording in data/<study>/tracks.parquet, and which copies
fell at which step in duplicates.csv. What the catalogue already holds is not asked again: a stopped crawl
goes on where it was.
"""

from hitsong import cli
from hitsong.collect import deduplicate, sources
from hitsong.collect.catalog import Catalog
from hitsong.errors import UserError
from hitsong.files import write_table
from hitsong.progress import summary
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
        tracks = source.tracks(catalog)
        if requests:
            print(source.economy(len(tracks)))

    # One row per recording
    tracks, remarks = deduplicate.remove_placeholders(tracks)
    for remark in remarks:
        print(remark)
    found, copies = deduplicate.deduplicate(tracks)
    if found.empty:
        raise UserError(f"{study.catalog} holds no track with a popularity: nothing to go on with")
    if source.percentile:
        found = deduplicate.percentile(found)
    changed = deduplicate.write(study.tracks, found)
    write_table(study.copies, copies)
    outputs = [study.tracks]
    if source.planted is not None:
        write_table(study.planted, source.planted)
        outputs.append(study.planted)

    fell = {step: int((copies["step"] == step).sum()) for step in ("preview", "isrc", "title")}
    stage.finish(
        outputs, {"tracks": len(tracks), "recordings": len(found), "copies": fell, "requests": requests}
    )
    print(
        f"{len(tracks):,} tracks -> {len(found):,} recordings "
        f"(copies by preview {fell['preview']:,}, by ISRC {fell['isrc']:,}, by title {fell['title']:,}: {study.copies})"
    )
    note = f"-> {study.tracks}" if requests or changed else f"nothing new; {study.tracks} kept"
    summary("collect", len(found) if changed else 0, 0 if changed else len(found), 0, stage.seconds, note)


if __name__ == "__main__":
    cli.run(main)
