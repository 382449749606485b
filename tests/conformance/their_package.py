# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Stands for a package of a user's own, which workers import: tests and the conformance cases name its classes."""

import threading
import time

CALLS = []
_LOCK = threading.Lock()


class Affine:
    """y = x × factor + offset."""

    def __init__(self, factor, offset):
        self.factor, self.offset = factor, offset

    def predict(self, inputs):
        return {"y": inputs["x"] * self.factor + self.offset}


class Counted:
    """y = 2x; raises on negative rows, and notes the size of every call."""

    def predict(self, inputs):
        with _LOCK:
            CALLS.append(len(inputs["x"]))
        if (inputs["x"] < 0).any():
            raise RuntimeError("negative")
        return {"y": inputs["x"] * 2}


class Sleeps:
    """Never answers in time."""

    def predict(self, inputs):
        time.sleep(3)
        return {"y": inputs["x"]}


class NeedsMemory:
    """y = 2x, for at most four rows at a time."""

    def predict(self, inputs):
        with _LOCK:
            CALLS.append(len(inputs["x"]))
        if len(inputs["x"]) > 4:
            raise MemoryError("no room")
        return {"y": inputs["x"] * 2}
