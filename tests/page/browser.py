# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A real browser, as far as tests need one: Chromium, told what to do over its own pipe.

https://chromedevtools.github.io/devtools-protocol/, with messages that end in a zero byte on descriptors 3 and 4.
"""

import fcntl
import itertools
import json
import os
import shutil
import subprocess
from contextlib import contextmanager

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Tab:
    """A page in the browser.

    Attributes:
        said: What the page, or the browser of it, has complained about: console, exceptions, violations of its policy.
    """

    def __init__(self, commands, answers):
        self._commands, self._answers = commands, answers
        self._numbers = itertools.count(1)
        self._session = {}
        self._buffer = b""
        self._events = []
        self.said = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)

    def call(self, method, **params):
        """Returns the result of a method of the protocol."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params, **self._session}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, url):
        """Goes to a page and waits until it is there."""
        self._events.clear()
        self.call("Page.navigate", url=url)
        while "Page.loadEventFired" not in self._events:
            self._next()

    def run(self, script):
        """Returns the value of an expression of the page's, which may be a promise."""
        result = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def press(self, key, text=""):
        """Presses a key and lets it go."""
        said = {"key": key, "code": key, "windowsVirtualKeyCode": {"Tab": 9, "Escape": 27, "Enter": 13}.get(key, 0)}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **said)
        self.call("Input.dispatchKeyEvent", type="keyUp", **said)

    def _next(self):
        while b"\0" not in self._buffer:
            read = os.read(self._answers, 1 << 20)
            assert read, "the browser ended"
            self._buffer += read
        message, _, self._buffer = self._buffer.partition(b"\0")
        event = json.loads(message)
        method = event.get("method", "")
        self._events.append(method)
        if method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
            self.said.append(event["params"])
        return event


@contextmanager
def browsing(profile):
    """Gives a Tab of a browser that ends with it.

    Args:
        profile: An empty directory.
    """
    theirs, commands = (fcntl.fcntl(fd, fcntl.F_DUPFD, 50) for fd in os.pipe())
    answers, theirs_too = (fcntl.fcntl(fd, fcntl.F_DUPFD, 50) for fd in os.pipe())
    options = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--remote-debugging-pipe",
        f"--user-data-dir={profile}",
    ]
    # Descriptors 3 and 4 of this process may be taken.
    shell = f'exec "$0" "$@" 3<&{theirs} 4>&{theirs_too}'
    browser = subprocess.Popen(
        ["bash", "-c", shell, CHROMIUM, *options, f"--user-data-dir={profile}"],
        pass_fds=(theirs, theirs_too),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    os.close(theirs_too)
    try:
        yield Tab(commands, answers)
    finally:
        browser.terminate()
        browser.wait()
        os.close(commands)
        os.close(answers)
