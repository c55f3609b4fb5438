"""Progress bars, and a stage's closing line."""

from tqdm import tqdm


def bar(items=None, **options):
    """A progress bar that is silent when the output is piped."""
    return tqdm(items, disable=None, dynamic_ncols=True, smoothing=0.1, **options)


def summary(stage, done, skipped, failed, seconds, note=""):
    """Print a stage's closing line."""
    rate = f", {done / seconds:,.1f}/s" if done and seconds >= 1 else ""
    line = f"{stage}: {done:,} done, {skipped:,} skipped, {failed:,} failed in {seconds:,.1f} s{rate}"
    print(f"{line}; {note}" if note else line)
