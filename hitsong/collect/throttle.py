"""Rate limiting, retries and Retry-After for one service."""

import random
import sys
import threading
import time
from datetime import datetime

from tqdm import tqdm

from hitsong.errors import ComeBackLater

MAX_PAUSES = 50  # rate limits of one request in a row before the service counts as unavailable
BACKOFF_S = 0.5  # first pause after a failure; doubles each time, give or take half
LONGEST_BACKOFF_S = 30.0
SHOWN_S = 2.0  # shorter waits are not printed


class RetryableError(Exception):
    """A failure of a request that may be temporary.

    Parameters
    ----------
    retry_after : float, optional
        Seconds to wait, as the service states.
    quota : bool
        Whether a quota, rather than a rate, is used up.
    """

    def __init__(self, reason, retry_after=None, quota=False):
        super().__init__(reason)
        self.retry_after = retry_after
        self.quota = quota


class RefusedError(Exception):
    """The service refuses a request, and would refuse it again."""

    def __init__(self, message, status=None):
        super().__init__(message)
        self.status = status


class ServiceUnavailable(ComeBackLater):
    """Every attempt failed; `last` is the last error."""

    def __init__(self, message, last):
        super().__init__(message)
        self.last = last


class Stopped(Exception):
    """The run is being stopped: no further requests."""


class Throttle:
    """Sends requests to one service, from any number of threads.

    Parameters
    ----------
    service : str
        Its name, for messages.
    gap_s : float
        Least time between the starts of two requests.
    longest_wait_s : float
        The longest `Retry-After` that is waited for.
    attempts : int
        How often one request is tried.

    Attributes
    ----------
    requests : int
        Requests sent so far, repetitions included.
    waited_s : float
        Sum of the pauses that the service requested.
    """

    def __init__(self, service, gap_s, longest_wait_s, attempts=7):
        self.service, self.gap_s = service, gap_s
        self.longest_wait_s, self.attempts = longest_wait_s, attempts
        self.requests = 0
        self.waited_s = 0.0
        self._lock = threading.Lock()
        self._not_before = 0.0
        self._stopped = threading.Event()

    def stop(self):
        """Make all threads that wait, or send another request, raise `Stopped`."""
        self._stopped.set()

    def send(self, request):
        """Call `request` until it succeeds.

        Parameters
        ----------
        request : callable
            Without arguments; raises `RetryableError` where it should be tried again.

        Raises
        ------
        ComeBackLater
            If the service asks for a longer pause than `longest_wait_s`, or its quota is used up.
        ServiceUnavailable
            If every attempt fails.
        Stopped
        """
        failures = pauses = 0
        while True:
            self._wait_for_turn()
            try:
                return request()
            except RetryableError as error:
                if error.retry_after is not None:
                    self._pause_all(error)
                    pauses += 1
                else:
                    failures += 1
                if failures == self.attempts or pauses == MAX_PAUSES:
                    times = failures + pauses
                    message = f"{self.service} gave no valid response {times} times in a row (last: {error})"
                    raise ServiceUnavailable(message, error) from None
                if error.retry_after is None:
                    backoff = min(LONGEST_BACKOFF_S, BACKOFF_S * 2 ** (failures - 1))
                    self._sleep(backoff * random.uniform(0.5, 1.5))

    def _wait_for_turn(self):
        with self._lock:
            start = max(self._not_before, time.monotonic())
            self._not_before = start + self.gap_s
            self.requests += 1
        self._sleep(start - time.monotonic())

    def _sleep(self, seconds):
        if self._stopped.wait(max(0.0, seconds)):
            raise Stopped

    def _pause_all(self, error):
        """Delay the requests of all threads until the time that the service stated."""
        seconds = error.retry_after
        if seconds > self.longest_wait_s or error.quota:
            until = datetime.fromtimestamp(time.time() + seconds)
            reason = "its quota is used up" if error.quota else "its rate limit is reached, wait"
            raise ComeBackLater(
                f"{self.service}: {reason} for {_duration(seconds)}. What was read is kept; "
                f"come back after {until:%Y-%m-%d %H:%M}"
            )
        if seconds >= SHOWN_S:
            tqdm.write(f"{self.service} asks for a pause of {_duration(seconds)}", file=sys.stderr)
        with self._lock:
            self._not_before = max(self._not_before, time.monotonic() + seconds)
            self.waited_s += seconds


def retry_after(headers, default=5.0):
    """The seconds that a `Retry-After` header asks for; `default` if it is missing or no number."""
    try:
        return max(0.0, float(headers.get("Retry-After", default)))
    except ValueError:  # an HTTP date
        return default


def _duration(seconds):
    """1.5 s, 13 min, 13 h 35 min."""
    if seconds < 120:
        return f"{seconds:g} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
