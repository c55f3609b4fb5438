"""Recent predictions, so that they can be explained: a few, for a while, under names that no one can guess."""

import secrets
import threading
import time
from collections import OrderedDict


class Recent:
    """A bounded store of things that expire.

    Parameters
    ----------
    most : int
    seconds : float
        How long a thing is kept.
    """

    def __init__(self, most, seconds):
        self.most, self.seconds = most, seconds
        self._things = OrderedDict()  # the oldest first
        self._lock = threading.Lock()

    def put(self, thing):
        """Keep a thing; its name of 128 random bits."""
        name = secrets.token_urlsafe(16)
        with self._lock:
            self._expire()
            self._things[name] = (time.monotonic() + self.seconds, thing)
            if len(self._things) > self.most:
                self._things.popitem(last=False)
        return name

    def get(self, name):
        """The thing of that name, or None."""
        with self._lock:
            self._expire()
            return self._things.get(name, (None, None))[1]

    def _expire(self):
        now = time.monotonic()
        while self._things and next(iter(self._things.values()))[0] < now:
            self._things.popitem(last=False)
