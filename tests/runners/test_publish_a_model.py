# Licensed under the Apache License, Version 2.0; see LICENSE.
"""docs/publish-a-model.md, followed to the letter, after the repository is set up."""

import html
import os
import re
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.runner

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/publish-a-model.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE)


@contextmanager
def serving(command, folder, environment):
    """Runs the command that serves, on free ports; gives the address of the page."""
    command = [*command.split(), "--port=0"]
    service = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        said = ""
        for line in service.stdout:
            said += line
            if line.startswith("LISTENING "):
                break
        yield re.search(r"page +(\S+)", said)[1]
    finally:
        service.terminate()
        assert service.wait() == 0


def copied(page, title):
    """Returns what the copy button of a text copies."""
    section = page[page.index('id="preset-iris"') :]
    return html.unescape(re.search(rf'aria-label="{title}"><code>(.*?)</code>', section, flags=re.DOTALL)[1])


def test_who_follows_the_text_gets_the_prediction_that_it_shows(tmp_path):
    repository = tmp_path / "m2"
    subprocess.run(
        ["gradle", f"-Dmaven.repo.local={repository}", "-p", "java-example", "-q", ":client:publishToMavenLocal"],
        cwd=ROOT,
        check=True,
    )
    folder = tmp_path / "iris"
    folder.mkdir()
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def run(command):
        done = subprocess.run(["bash", "-ec", command], cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    kinds = [kind for kind, _ in BLOCKS]
    assert kinds == ["sh", "python", "sh", "sh", "yaml", "sh", "sh", "sh", ""]
    (_, setup), *steps, (_, serve), (_, last), (_, shown) = BLOCKS
    assert setup.splitlines()[1] == "gradle -p java-example -q :client:publishToMavenLocal"  # as above
    outputs = ""
    for kind, block in steps:
        if kind == "sh":
            outputs += run(block)
        else:
            name = block.splitlines()[0].removeprefix("# ")
            (folder / name).write_text(block)
    assert re.search(r"X +FP32 +\[4\]", outputs)
    assert "server.yaml: a good configuration of server" in outputs
    assert re.search(r"6\.6 +3.* versicolor ", outputs)

    with serving(serve, folder, environment) as address:
        page = urllib.request.urlopen(address).read().decode()  # noqa: S310 - our own
        (folder / "src/main/java").mkdir(parents=True)
        (folder / "src/main/java/Iris.java").write_text(copied(page, "Java"))
        (folder / "build.gradle").write_text(copied(page, "build.gradle"))
        printed = run(last.replace("gradle", f"gradle -Dmaven.repo.local={repository}"))
    number = r"\d\S*\d"  # in their last digits, machines differ
    assert re.sub(number, "0", printed) == re.sub(number, "0", shown), printed
