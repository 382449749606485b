# Licensed under the Apache License, Version 2.0; see LICENSE.
import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from expansion import catalogue
from expansion.contract._gen.server_pb2 import Preset
from expansion.page.about import About
from expansion.page.document import document, policy
from expansion.page.transform_view import View, view_of_preset
from expansion.snippets import java_build

ABOUT = About("ml.example:8097")
EVIL = "</code><script>alert(1)</script><img src=x onerror=alert(2)> `<b>` \"' onload='x'"
VOID = {"meta", "link", "input", "br", "img"}


class Elements(HTMLParser):
    """What elements there are, and whether each is closed where it should be."""

    def __init__(self, html):
        super().__init__()
        self.found, self.ids, self.links, self.texts, self._open = [], [], [], [], []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.found.append((tag, attributes))
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes[name] for name in ("href", "src", "action") if name in attributes]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def preset(adder, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "adder.onnx"
    path.write_bytes(adder(1, shape=(3,)))
    return Preset(
        name="adder",
        description="Adds 1.",
        run_inference={"model": {"onnx": {"uri": str(path)}}, "pre_hooks": [{"round": {"columns": ["x"]}}]},
    )


@pytest.fixture(scope="module")
def html(preset):
    return document([preset], {"adder": view_of_preset(preset)}, About("ml.example:8097", ("TLS", "tokens"), "ml:8099"))


def test_everything_that_list_shows_is_on_the_page_presets_first(html, preset):
    cards = [attributes["id"] for tag, attributes in Elements(html).found if attributes.get("class") == "card"]
    listed = [f"{entry.kind}-{entry.name}" for entry in catalogue.entries([preset])]
    assert sorted(cards) == sorted(listed)
    assert cards[0] == "preset-adder"


def test_every_field_of_the_contract_is_there_with_its_type(html):
    def fields(among):
        for field in among:
            yield field
            yield from fields(field.fields)

    shown = re.findall(r'<code class="name">(\w+)</code>\s*<(?:a|span) class="type"[^>]*>([^<]+)<', html)
    known = [(field.name, field.type) for entry in catalogue.entries() for field in fields(entry.fields)]
    assert len(known) > 300
    assert set(known) <= set(shown)
    assert len(shown) >= len(known)


def test_ids_are_unique_and_links_lead_to_one_of_them_or_to_pages_of_the_service(html):
    elements = Elements(html)
    assert len(elements.ids) == len(set(elements.ids))
    inside = {link[1:] for link in elements.links if link.startswith("#")}
    assert inside <= set(elements.ids)
    assert {link for link in elements.links if not link.startswith("#")} == {
        "data:,",
        "/metrics",
        "/healthz",
        "/readyz",
    }


def test_a_preset_shows_its_chain_its_schemas_and_code_that_calls_this_service(html):
    section = html[html.index('id="preset-adder"') : html.index('id="transforms"')]
    chain = section[section.index('<ol class="chain">') : section.index("</ol>")]
    assert re.findall(r'class="title"><a href="#([\w-]+)"', chain) == ["hook-round", "framework-onnx"]
    rows = re.findall(r"<tr>\s*<th scope=\"row\"><code>(\w+)</code></th><td>(\w+)</td><td>(\w+)</td>", section)
    assert rows == [("x", "FP32", "3"), ("x", "FP32", "3"), ("y", "FP32", "3"), ("model_id", "STRING", "scalar")]
    assert re.findall(r'data-language="(\w+)"', section) == ["java", "python", "yaml", "go"]
    assert section.count("ml.example:8097") == 4
    assert "LocalBeam.attach(&#34;ml.example:8097&#34;, &#34;ml:8099&#34;)" in section
    assert "io.github.beamml:beam-ml-expansion-client:" in section
    assert "localhost:80" not in section
    assert "needs TLS, tokens" in html


def test_a_page_without_presets_says_how_they_come(html):
    assert "There are none yet: the operator publishes them under <code>presets</code>" in document([], {}, ABOUT)
    assert "There are none yet" not in html


def test_what_an_operator_has_written_is_text_whatever_it_looks_like():
    evil = Preset(
        name="evil",
        description=EVIL,
        run_inference={
            "model": {"onnx": {"uri": EVIL}, "model_id": EVIL},
            "inputs": [{"name": EVIL, "columns": [EVIL]}],
            "pre_hooks": [{"rename": {"columns": {EVIL: EVIL}}}],
        },
    )
    view = view_of_preset(evil)
    assert "<script>" in view.problem
    page = Elements(document([evil], {"evil": view}, ABOUT))
    tags = [tag for tag, _ in page.found]
    assert (tags.count("script"), tags.count("img"), tags.count("b")) == (1, 0, 0)
    assert not [name for _, attributes in page.found for name in attributes if name.startswith("on")]
    assert EVIL.replace("`", "") in "".join(page.texts)


def test_a_preset_that_is_still_being_read_and_one_that_can_not_be_say_so(preset):
    assert "Its models are still being read; load the page again in some seconds." in document([preset], {}, ABOUT)
    lost = document([preset], {"adder": View(problem="no <file>")}, ABOUT)
    assert "What it returns is not known: no &lt;file&gt;" in lost


def test_the_policy_allows_the_script_and_the_style_of_the_page_and_nothing_else(html):
    allowed = policy()
    for tag in ("script", "style"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}';" in allowed
    assert allowed.startswith("default-src 'none'; ")
    assert "unsafe" not in allowed
    assert not [attributes for _, attributes in Elements(html).found if "style" in attributes]


def test_the_build_of_the_java_code_has_the_versions_of_our_own_build():
    text = (Path(__file__).parents[2] / "java-example/gradle.properties").read_text()
    ours = dict(line.split("=") for line in text.splitlines() if not line.startswith("#") and "=" in line)
    versions = (java_build.BEAM, java_build.PORTABLE_RUNNER, java_build.JAMM, java_build.SLF4J)
    names = ("beamVersion", "beamPortableRunnerVersion", "jammVersion", "slf4jVersion")
    assert versions == tuple(ours[name] for name in names)
