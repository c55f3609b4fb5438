"""The closing lines of 03: what was made of how many clips, and why some have no features."""

from hitsong.progress import summary

SHOWN = 3  # files that are named for each reason


def summarize(store, counts, notes, seconds):
    """Print what 03 did.

    Parameters
    ----------
    counts : dict of str to hitsong.features.extract.Counts
        By kind.
    notes : dict of str to list of str
        The decoder's remarks, by path.
    seconds : float
        Duration of the stage.
    """
    if notes:
        path, lines = next(iter(notes.items()))
        print(f"{len(notes):,} damaged clips were decoded with remarks, for example {path}: {lines[0]}")
    failures = store.failures()
    failures = failures[store.index["current"].to_numpy(bool)[failures["row"].to_numpy(int)]]
    failures = failures[failures["kind"].isin(counts)]
    for (kind, reason), rows in failures.groupby(["kind", "reason"])["row"]:
        paths = store.index["path"].iloc[rows.to_numpy(int)[:SHOWN]]
        print(
            f"{len(rows):,} without {kind}: {reason} ({', '.join(paths)}{' ...' if len(rows) > SHOWN else ''})"
        )
    for kind, count in counts.items():
        megabytes = (store.folder / f"{kind}.npy").stat().st_size / 1e6
        retried = f"{count.retried:,} that had failed were tried again; " if count.retried else ""
        note = f"{retried}{megabytes:,.1f} MB in {store.folder}"
        summary(f"features {kind}", count.done, count.skipped, count.failed, seconds, note)
