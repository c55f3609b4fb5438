"""Collect tracks, one row per recording.

    python 01_collect.py                                      # as config.yaml says
    python 01_collect.py --set collect.genre=hip-hop          # another genre
    python 01_collect.py --config configs/fma.yaml --set collect.root=PATH
    python 01_collect.py --refresh                            # read popularity again, some months later

Spotify: search the genre's artists -> all their albums -> all tracks -> popularity and audio features; or
by track search, from a file of ids, from a playlist. Or from Deezer, FMA, or a table. Every response of a service
is kept in data/<study>/catalog.sqlite and never requested again, so an interrupted crawl continues where it
stopped. Leaves data/<study>/tracks.parquet, and in duplicates.csv the copies that were left out, with the reason.

--refresh reads the popularity of the study's tracks again (Spotify: 50 a request; Deezer: one by one, at most
collect.request_budget; ListenBrainz: in the dump that collect.listens names now), and keeps every reading in
data/<study>/history.parquet. An interrupted refresh continues where it stopped. tracks.parquet stays as it is, with the
first reading: the same tracks, the same split. With the stand-in, --set standin.clock=2027-05-01 moves its day on.
"""

from hitsong import cli
from hitsong.collect import deduplicate, history, sources
from hitsong.collect.refresh import refresh
from hitsong.files import write_table
from hitsong.study import Stage, Study


def main():
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--refresh", action="store_true", help="read the popularity of the study's tracks again"
    )
    arguments = parser.parse_args()
    config = cli.settings(arguments)
    study = Study.of(config)
    stage = Stage(study, "collect", config)
    if arguments.refresh:
        print(refresh(stage, config))
        return
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
        readings = source.readings(recordings)

    # Save
    changed = deduplicate.write(study.tracks, recordings)
    write_table(study.copies, copies)
    history.write(study.history, readings)
    study.planted.unlink(missing_ok=True)
    outputs = [study.tracks, study.history]
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
