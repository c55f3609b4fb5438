"""How we ask a service: not too fast, again after a hiccup, and not at all when told to come back later."""

import random
import sys
import threading
import time
from datetime import datetime

from tqdm import tqdm

from hitsong.errors import ComeBackLater

PAUSES = 50  # rate limits of one request in a row, before we call the service out of order
BACKOFF_S = 0.5  # first pause after a hiccup; doubles each time, give or take half
LONGEST_BACKOFF_S = 30.0
SAID_S = 2.0  # a wait at least this long is shown


class Trouble(Exception):
    """No good answer this time; the next may be better.

    Parameters
    ----------
    reason : str
    retry_after : float, optional
        How many seconds the service asks us to stay away.
    quota : bool
        Whether what is used up is a quota rather than a rate.
    """

    def __init__(self, reason, retry_after=None, quota=False):
        super().__init__(reason)
        self.retry_after = retry_after
        self.quota = quota


class OutOfOrder(ComeBackLater):
    """The service gave no good answer however often it was asked; `trouble` is the last one."""

    def __init__(self, message, trouble):
        super().__init__(message)
        self.trouble = trouble


class Manners:
    """One service's patience, shared by all threads that ask it.

    Parameters
    ----------
    service : str
        Its name, for messages.
    gap_s : float
        Least time between the starts of two requests.
    longest_wait_s : float
        The longest `Retry-After` that is waited for.
    attempts : int
        Hiccups of one request before the service is called out of order.

    Attributes
    ----------
    requests : int
        Made so far, repeated ones included.
    waited_s : float
        Time spent because the service asked for it.
    """

    def __init__(self, service, gap_s, longest_wait_s, attempts=7):
        self.service, self.gap_s = service, gap_s
        self.longest_wait_s, self.attempts = longest_wait_s, attempts
        self.requests = 0
        self.waited_s = 0.0
        self._lock = threading.Lock()
        self._not_before = 0.0

    def ask(self, request):
        """Call `request` until it gives an answer.

        Parameters
        ----------
        request : callable
            Without arguments; raises `Trouble` when it is worth asking again.

        Raises
        ------
        ComeBackLater
            If the service asks for a longer pause than we wait, or speaks of a quota.
        OutOfOrder
            If it gives no good answer however often it is asked.
        """
        hiccups = pauses = 0
        while True:
            self._take_turn()
            try:
                return request()
            except Trouble as trouble:
                if trouble.retry_after is not None:
                    self._stay_away(trouble)
                    pauses += 1
                else:
                    hiccups += 1
                if hiccups == self.attempts or pauses == PAUSES:
                    times = hiccups + pauses
                    message = f"{self.service} gave no good answer {times} times in a row (last: {trouble})"
                    raise OutOfOrder(message, trouble) from None
                if trouble.retry_after is None:
                    backoff = min(LONGEST_BACKOFF_S, BACKOFF_S * 2 ** (hiccups - 1))
                    time.sleep(backoff * random.uniform(0.5, 1.5))

    def _take_turn(self):
        """Wait until the next request may start."""
        with self._lock:
            start = max(self._not_before, time.monotonic())
            self._not_before = start + self.gap_s
            self.requests += 1
        if (wait := start - time.monotonic()) > 0:
            time.sleep(wait)

    def _stay_away(self, trouble):
        """Keep every thread from asking before the service wants to be asked again."""
        seconds = trouble.retry_after
        if seconds > self.longest_wait_s or trouble.quota:
            again = datetime.fromtimestamp(time.time() + seconds)
            what = "its quota is used up" if trouble.quota else "it asks us to stay away"
            raise ComeBackLater(
                f"{self.service}: {what} for {_duration(seconds)}. What was read is kept; "
                f"come back after {again:%Y-%m-%d %H:%M}"
            )
        if seconds >= SAID_S:
            tqdm.write(f"{self.service} asks for a pause of {_duration(seconds)}", file=sys.stderr)
        with self._lock:
            self._not_before = max(self._not_before, time.monotonic() + seconds)
            self.waited_s += seconds


def retry_after(headers, otherwise=5.0):
    """The seconds that a `Retry-After` header asks for; a rate limit without one gets `otherwise`."""
    try:
        return max(0.0, float(headers.get("Retry-After", otherwise)))
    except ValueError:  # an HTTP date, or nonsense
        return otherwise


def _duration(seconds):
    """1.5 s, 13 min, 13 h 35 min."""
    if seconds < 120:
        return f"{seconds:g} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
