"""Progress on standard error."""

import sys
import time

from tqdm import tqdm

INTERVAL = 15  # seconds between two lines where standard error is no terminal


def bar(items=None, *, show=True, **options):
    """Show progress: a bar on a terminal; elsewhere a line every 15 seconds, and none for shorter work.

    Parameters
    ----------
    items : iterable, optional
        Without them, the caller counts with `update(n)`.
    **options
        Of tqdm: desc, unit, total, initial.

    Returns
    -------
    iterable and context manager with `update` and `set_postfix`
    """
    if sys.stderr.isatty() or not show:
        return tqdm(items, disable=not show, dynamic_ncols=True, smoothing=0.1, **options)
    return _Lines(items, **options)


class _Lines:
    """Lines of count, rate and time left, at most one in `INTERVAL` seconds."""

    FORMAT = "{desc}: {n_fmt}/{total_fmt} {unit}s, {rate_fmt}, {remaining} left{postfix}"
    OPEN_FORMAT = "{desc}: {n_fmt} {unit}s, {rate_fmt}{postfix}"  # where the total is not known

    def __init__(self, items=None, *, desc, unit, total=None, initial=0):
        self.items, self.n, self.initial = items, initial, initial
        self.total = len(items) if total is None and hasattr(items, "__len__") else total
        self.options = {"prefix": desc, "unit": unit, "initial": initial}
        self.started = self.printed = time.monotonic()
        self.postfix = ""

    def __iter__(self):
        for item in self.items:
            yield item
            self.update()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def set_postfix(self, values=(), refresh=True, **named):
        """Show named numbers at the end of each line."""
        values = dict(values) | named
        self.postfix = ", ".join(f"{name} {tqdm.format_num(value)}" for name, value in values.items())

    def update(self, n=1):
        """Count n more items as done."""
        self.n += n
        now = time.monotonic()
        if now - self.printed >= INTERVAL:
            self.printed = now
            line = tqdm.format_meter(
                self.n, self.total, now - self.started, postfix=self.postfix or None,
                bar_format=self.FORMAT if self.total else self.OPEN_FORMAT, **self.options,
            )  # fmt: skip
            print(line, file=sys.stderr, flush=True)


def duration(seconds):
    """Seconds in words, for an estimate: "40 s", "12 min" or "3.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
