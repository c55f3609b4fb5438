"""Atomic file writes, JSON, tables and hashes."""

import hashlib
import json
import os
import secrets
from contextlib import contextmanager
from functools import cache
from pathlib import Path

TEMPORARY = ".tmp-"


@contextmanager
def replacing(path):
    """Give a temporary path beside `path`, and rename it to `path` when the block succeeds.

    A reader sees the old file or the new one, never a part. The temporary name is unique, so that two writers
    do not disturb each other; a killed writer's file is removed by `remove_temporary`.

    Yields
    ------
    pathlib.Path
        Where to write; has the suffix of `path`, since writers choose their format by it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(4)}-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_temporary(folder):
    """Remove what killed writers have left in a folder and its subfolders."""
    for path in Path(folder).rglob(f"{TEMPORARY}*"):
        path.unlink(missing_ok=True)


def write_json(path, content):
    """Write `content` as indented JSON, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path):
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def write_table(path, frame):
    """Write a DataFrame as Parquet (or CSV, by the suffix), atomically and without its index."""
    with replacing(path) as temporary:
        if temporary.suffix == ".csv":
            frame.to_csv(temporary, index=False)
        else:
            frame.to_parquet(temporary, index=False)


def write_if_changed(path, frame, schema):
    """Write a DataFrame as Parquet, atomically, unless the file has the same content; True if it was written.

    Parameters
    ----------
    path : pathlib.Path
    frame : pandas.DataFrame
    schema : pyarrow.Schema
        Its columns, in this order, are written.
    """
    import pyarrow as pa  # here, since most of the package does without
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame[schema.names], schema, preserve_index=False).replace_schema_metadata()
    if path.exists() and pq.read_table(path).equals(table):
        return False
    with replacing(path) as temporary:
        pq.write_table(table, temporary)
    return True


def sha256(path):
    """Hash a file's content; hexadecimal. A file that has not changed since is not read again."""
    # The time of the last change of status is among the keys: it cannot be set back, that of the content can.
    status = os.stat(path)
    return _sha256(os.fspath(path), status.st_ctime_ns, status.st_mtime_ns, status.st_size, status.st_ino)


@cache
def _sha256(path, *_):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(content):
    """Hash anything JSON can hold, independent of key order; 12 hexadecimal digits."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
