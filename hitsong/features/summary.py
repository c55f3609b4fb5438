"""The closing lines of 03: how many clips have features, and why some have none."""

SHOWN = 3  # files printed for each reason


def summarize(store, counts, notes, seconds):
    """Print the closing lines: counts and the decoder's warnings as `extract` returns them, seconds of the stage."""
    if notes:
        path, lines = next(iter(notes.items()))
        print(f"{len(notes):,} damaged clips were decoded with warnings, for example {path}: {lines[0]}")
    failures = store.failures()
    failures = failures[store.index["current"].to_numpy(bool)[failures["row"].to_numpy(int)]]
    failures = failures[failures["kind"].isin(counts)]
    for (kind, reason), rows in failures.groupby(["kind", "reason"])["row"]:
        paths = store.index["path"].iloc[rows.to_numpy(int)[:SHOWN]]
        print(
            f"{len(rows):,} without {kind}: {reason} ({', '.join(paths)}{' ...' if len(rows) > SHOWN else ''})"
        )
    for kind, count in counts.items():
        path = store.folder / f"{kind}.npy"
        retried = f", {count.retried:,} that had failed were tried again" if count.retried else ""
        print(
            f"{kind}: {count.done:,} new clips, {count.skipped:,} kept as they were, {count.failed:,} failed{retried} "
            f"({path.stat().st_size / 1e6:,.1f} MB in {path})"
        )
    print(
        f"features: {len(counts)} kinds of {sum(store.index['current']):,} clips, in {seconds:,.1f} s -> {store.folder}"
    )
