"""Listens per song from a dump of ListenBrainz on disk, by DuckDB in bounded memory.

A dump is a folder of Parquet files (`listenbrainz-spark-dump-*`) or of JSON lines (`*.listens`), or the `.tar` and
`.tar.zst` files as they are downloaded. JSON lines and members of archives are first converted to small Parquet files.
Each Parquet file is then reduced to listens per song, month and user, here or on a Dask cluster, and these are summed:
users that occur in several files count once. Every intermediate file is named after all that decides its content, so
a killed run goes on with the first missing one.
"""

import re
import shutil
import tarfile
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa

from hitsong.errors import UserError
from hitsong.features.parallel import CRASHED, map_ordered
from hitsong.files import TEMPORARY, digest, remove_temporary, replacing
from hitsong.progress import bar

VERSION = 1  # of the queries below
MEMORY = "2GB"  # of DuckDB; more goes to disk
_ARCHIVES = (".tar", ".tar.zst", ".tar.xz", ".tar.gz")
_SUFFIXES = (".parquet", ".listens", *_ARCHIVES)
_DUMP = re.compile(r"listenbrainz-(?:spark|listens)-dump-(\d+)-(\d{8})-\d+-(full|incremental)")
_MAPPING = "STRUCT(mbid_mapping STRUCT(recording_mbid VARCHAR))"
_JSON_COLUMNS = f"{{user_id: 'BIGINT', listened_at: 'BIGINT', track_metadata: '{_MAPPING}'}}"


def dump_files(folder):
    """The files of a dump, sorted."""
    return sorted(
        path for path in Path(folder).rglob("*") if path.name.endswith(_SUFFIXES) and path.is_file()
    )


class Dump:
    """A dump of listens.

    Parameters
    ----------
    folder : path-like
        Holds the dump's files, at any depth.
    cache : path-like
        Where intermediate files go.
    scheduler : str, optional
        A Dask scheduler (`compute.scheduler`) whose workers see both folders at the same place.

    Raises
    ------
    UserError
        If there is no dump, or there are dumps that hold the same listens.
    """

    def __init__(self, folder, cache, scheduler=None):
        self.folder, self.cache, self.scheduler = Path(folder).resolve(), Path(cache).resolve(), scheduler
        if not self.folder.is_dir():
            raise UserError(f"collect.listens: {self.folder} is no folder; name the one that holds the dump")
        self.files = dump_files(self.folder)
        if not self.files:
            raise UserError(f"collect.listens: {self.folder} holds no {', '.join(_SUFFIXES)} file")
        self._refuse_repeated_dumps()
        self.identity = digest([_identity(file) for file in self.files])
        self.cache.mkdir(parents=True, exist_ok=True)
        remove_temporary(self.cache)

    def _refuse_repeated_dumps(self):
        """Two full dumps, or an incremental one that a full one includes, would count listens twice."""
        dumps = {match.group(1, 2, 3) for path in self.files if (match := _DUMP.search(str(path)))}
        kinds = {match.group(0) for path in self.files if (match := _DUMP.search(str(path)))}
        full = sorted(date for _, date, kind in dumps if kind == "full")
        inside = [date for _, date, kind in dumps if kind == "incremental" and full and date <= full[-1]]
        if len([name for name in kinds if name.endswith("full")]) > 1 or inside:
            raise UserError(
                f"collect.listens: {self.folder} holds dumps that repeat listens ({', '.join(sorted(kinds))}): "
                "leave one full dump, and incremental ones of later days"
            )

    # ------------------------------------------------------------------ counts

    def describe(self):
        """How many listens there are, how many of them name a recording, and the time of the last: int, int, str."""
        with _database(self.cache, self.folder) as database:
            rows, mapped, last = database.execute(
                "SELECT count(*), count(recording_mbid), max(listened_at) FROM read_parquet(?, union_by_name = true)",
                [self._parquet()],
            ).fetchone()
        if not mapped:
            raise UserError(f"collect.listens: no listen in {self.folder} names a MusicBrainz recording")
        return rows, mapped, last.isoformat(timespec="seconds")

    def count_recordings(self):
        """Listens and distinct users of every recording.

        Returns
        -------
        pandas.DataFrame
            `key` (the recording's MBID), `listens`, `users`; sorted by `key`.
        """
        return self._counted(None)[0]

    def count_songs(self, songs):
        """Listens and distinct users of songs, in all and by month.

        Parameters
        ----------
        songs : pandas.DataFrame
            `recording_mbid` and `key`, the song that the recording belongs to (text).

        Returns
        -------
        totals, months : pandas.DataFrame
            `key`, `listens`, `users`; and the same for each `month` (200501 is January 2005). Songs without listens
            have no row.
        """
        return self._counted(songs.sort_values("recording_mbid", ignore_index=True))

    def _counted(self, songs):
        files = self._parquet()
        identity = digest([VERSION, [_identity(Path(file)) for file in files], _content(songs)])
        folder = self.cache / f"counts-{identity}"
        if not (folder / "months.parquet").exists():
            folder.mkdir(exist_ok=True)
            mapping = None
            if songs is not None:
                mapping = folder / "songs.parquet"
                with replacing(mapping) as temporary:
                    songs[["recording_mbid", "key"]].to_parquet(temporary, index=False)
            parts = self._partial_counts(files, mapping, folder)
            for name in ("totals", "months"):
                _sum_parts(parts, folder / f"{name}.parquet", name == "months", self.cache)
            for part in parts:
                Path(part).unlink(missing_ok=True)
        return tuple(pd.read_parquet(folder / f"{name}.parquet") for name in ("totals", "months"))

    def _partial_counts(self, files, mapping, folder):
        """Listens per key, month and user of each file: paths."""
        tasks = [
            (
                file,
                str(mapping) if mapping else None,
                str(folder / f"part-{number:05}.parquet"),
                str(self.cache),
            )
            for number, file in enumerate(files)
        ]
        todo = [task for task in tasks if not Path(task[2]).exists()]
        results = map_ordered(count_file, todo, workers=1, scheduler=self.scheduler)
        for result in bar(results, desc="listens of", unit="file", total=len(todo)):
            if result is CRASHED:
                raise UserError(
                    "compute.scheduler: a worker died twice while it counted listens; see its log"
                )
        return [task[2] for task in tasks]

    # ------------------------------------------------------------------ files

    def _parquet(self):
        """The dump as Parquet files: paths."""
        paths = []
        for file in self.files:
            if file.suffix == ".parquet":
                paths.append(file)
            elif file.suffix == ".listens":
                paths.append(self._converted(file, f"{_identity(file)}"))
            else:
                paths += self._unpacked(file)
        return [str(path) for path in paths]

    def _unpacked(self, archive):
        """The members of an archive as Parquet files, each converted once."""
        identity = digest(_identity(archive))
        marker = self.cache / f"archive-{identity}"
        if not marker.exists():
            names = []
            with _opened(archive) as members, bar(members, desc=archive.name, unit="member") as progress:
                for member in progress:
                    if member.isfile() and member.name.endswith((".parquet", ".listens")):
                        names.append(self._unpack(archive, members, member, identity).name)
            with replacing(marker) as temporary:
                temporary.write_text("\n".join(names), encoding="utf-8")
        return [self.cache / name for name in marker.read_text(encoding="utf-8").splitlines()]

    def _unpack(self, archive, members, member, identity):
        target = self.cache / f"listens-{digest([VERSION, identity, member.name])}.parquet"
        if not target.exists():
            raw = self.cache / f"{TEMPORARY}{target.stem}{Path(member.name).suffix}"
            try:
                with raw.open("wb") as file:
                    shutil.copyfileobj(members.extractfile(member), file)
                self._convert(raw, target, f"{archive.name}: {member.name}")
            finally:
                raw.unlink(missing_ok=True)
        return target

    def _converted(self, file, identity):
        target = self.cache / f"listens-{digest([VERSION, identity])}.parquet"
        if not target.exists():
            self._convert(file, target, file.name)
        return target

    def _convert(self, file, target, name):
        """Write what is needed of a file of listens to a small Parquet file."""
        with _database(self.cache, name) as database, replacing(target) as temporary:
            database.execute(f"COPY ({_select(file)}) TO '{_quoted(temporary)}' (FORMAT parquet)")


def count_file(task):
    """Write listens per key, month and user of one file.

    Parameters
    ----------
    task : (str, str or None, str, str)
        The file; the table of songs, None to count every recording; where to write; the folder for spilled data.
    """
    file, songs, target, cache = task
    key, join = "CAST(recording_mbid AS VARCHAR)", ""
    if songs:
        key, join = "songs.key", f"JOIN read_parquet('{_quoted(songs)}') songs USING (recording_mbid)"
    with _database(Path(cache), Path(file).name) as database, replacing(target) as temporary:
        database.execute(
            f"""COPY (
                SELECT {key} AS key, user_id, year(listened_at) * 100 + month(listened_at) AS month,
                       count(*) AS listens
                FROM ({_select(Path(file))}) {join} WHERE recording_mbid IS NOT NULL GROUP BY ALL
            ) TO '{_quoted(temporary)}' (FORMAT parquet)"""
        )


def _sum_parts(parts, target, by_month, cache):
    """Sum the counts of all files: first by user, so that each counts once."""
    month = ", month" if by_month else ""
    files = ", ".join(f"'{_quoted(part)}'" for part in parts)
    with _database(cache, cache) as database, replacing(target) as temporary:
        database.execute(
            f"""COPY (
                SELECT key{month}, CAST(sum(listens) AS BIGINT) AS listens, count(*) AS users
                FROM (SELECT key{month}, user_id, sum(listens) AS listens FROM read_parquet([{files}]) GROUP BY ALL)
                GROUP BY ALL ORDER BY key{month}
            ) TO '{_quoted(temporary)}' (FORMAT parquet)"""
        )


def _select(file):
    """The query for `user_id`, `listened_at` and `recording_mbid` (text in small letters) of a file."""
    if file.suffix == ".parquet":
        return (
            "SELECT user_id, CAST(listened_at AS TIMESTAMP) AS listened_at, "
            f"lower(CAST(recording_mbid AS VARCHAR)) AS recording_mbid FROM read_parquet('{_quoted(file)}')"
        )
    return (
        "SELECT user_id, make_timestamp(listened_at * 1000000) AS listened_at, "
        "lower(track_metadata.mbid_mapping.recording_mbid) AS recording_mbid "
        f"FROM read_json('{_quoted(file)}', format = 'newline_delimited', columns = {_JSON_COLUMNS}) "
        "WHERE user_id IS NOT NULL AND listened_at IS NOT NULL"
    )


@contextmanager
def _database(cache, name):
    """DuckDB in bounded memory; what does not fit goes to a folder of its own in the cache. `name` is what is read."""
    with duckdb.connect(config={"memory_limit": MEMORY, "temp_directory": str(cache / "spill")}) as database:
        database.execute("SET preserve_insertion_order = false")
        try:
            yield database
        except duckdb.Error as error:
            raise UserError(f"{name} cannot be read as listens: {str(error).splitlines()[0]}") from None


@contextmanager
def _opened(archive):
    """A tar archive as a stream of members."""
    try:
        if archive.suffix == ".zst":
            with (
                pa.OSFile(str(archive)) as file,
                pa.CompressedInputStream(file, "zstd") as stream,
                tarfile.open(fileobj=stream, mode="r|") as members,
            ):
                yield members
        else:
            with tarfile.open(archive, mode="r|*") as members:
                yield members
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UserError(f"collect.listens: {archive} cannot be read: {error}; download it again") from None


def _identity(path):
    """What a file is known by: name, size and time of change."""
    status = path.stat()
    return [path.name, status.st_size, status.st_mtime_ns]


def _content(songs):
    return None if songs is None else songs[["recording_mbid", "key"]].to_numpy().tolist()


def _quoted(path):
    return str(path).replace("'", "''")
