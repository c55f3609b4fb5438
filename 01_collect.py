"""Collect tracks, one row per recording.

    python 01_collect.py                                      # as config.yaml says
    python 01_collect.py --set collect.genre=hip-hop          # another genre
    python 01_collect.py --config configs/fma.yaml --set collect.root=PATH

Spotify: search the genre's artists -> all their albums -> all tracks -> popularity and audio features; or
by track search, from a file of ids, from a playlist. Or from Deezer, FMA, or a table. Every response of a service
is kept in data/<study>/catalog.sqlite and never requested again, so an interrupted crawl continues where it
stopped. Leaves data/<study>/tracks.parquet, and in duplicates.csv the copies that were left out, with the reason.
"""

from hitsong import cli
from hitsong.collect import deduplicate, sources
from hitsong.files import write_table
from hitsong.study import Stage, Study


def main():
    config = cli.settings(cli.parser(__doc__).parse_args())
    study = Study.of(config)
    stage = Stage(study, "collect", config)
    stage.add_inputs(sources.files(config))

    # Collect
    with sources.open_source(config, study.catalog) as source:
        if source.notice:
            print(source.notice)
        tracks = source.collect()
        if source.requests:
            print(source.cost(len(tracks)))
        tracks, remarks = deduplicate.remove_placeholders(tracks)
        for remark in remarks:
            print(remark)
        recordings, copies = deduplicate.deduplicate(tracks)
        deduplicate.require_popularity(recordings, study.tracks)
        planted = source.planted(recordings["track_id"])

    # Save
    changed = deduplicate.write(study.tracks, recordings)
    write_table(study.copies, copies)
    study.planted.unlink(missing_ok=True)
    outputs = [study.tracks]
    if planted is not None:
        write_table(study.planted, planted)
        outputs.append(study.planted)
    by_reason = {step: int((copies["step"] == step).sum()) for step in ("preview", "isrc", "title")}
    counts = {"tracks": len(tracks), "recordings": len(recordings), "copies": by_reason}
    stage.finish(outputs, {**counts, "requests": source.requests})

    print(
        f"collect: {len(recordings):,} recordings from {len(tracks):,} tracks; left out as copies, by preview "
        f"{by_reason['preview']:,}, by ISRC {by_reason['isrc']:,}, by title {by_reason['title']:,} ({study.copies}); "
        f"{'' if changed else 'nothing new, kept '}{study.tracks}"
    )


if __name__ == "__main__":
    cli.run(main)
