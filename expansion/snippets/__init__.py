# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Complete code that runs a configuration, for Java, Python, Beam YAML and Go: made of the configuration itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from expansion.snippets import beam_yaml, go, java, python
from expansion.snippets.call import Call

LANGUAGES: Mapping[str, Callable[[Call], str]] = {
    "java": java.snippet,
    "python": python.snippet,
    "yaml": beam_yaml.snippet,
    "go": go.snippet,
}
