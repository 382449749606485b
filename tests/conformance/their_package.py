# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Stands for a package of a user's own, which workers import: tests and the conformance cases name what is here."""

import threading
import time
import unicodedata

CALLS = []
_LOCK = threading.Lock()


def celsius(columns):
    """Hook: fahrenheit → celsius; raises below absolute zero."""
    fahrenheit = columns["fahrenheit"]
    if (fahrenheit < -459.67).any():
        raise ValueError("colder than absolute zero")
    return {"celsius": (fahrenheit - 32) / 1.8}


class StripAccents:
    """Hook, for a row at a time: text → ascii, and its length."""

    def __init__(self, form):
        self.form = form

    def __call__(self, row):
        text = unicodedata.normalize(self.form, row["text"]).encode("ascii", "ignore").decode()
        return {"text": text, "length": len(text)}


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


class Unloadable:
    """Does not load, and notes every try."""

    def load(self):
        CALLS.append("load")
        raise OSError("the weights are gone")

    def predict(self, inputs):
        raise AssertionError("it was never loaded")
