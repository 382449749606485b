# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The page in a real browser."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from expansion.contract._gen.server_pb2 import Preset
from expansion.page.about import About
from expansion.service.catalogue_page import CataloguePage
from expansion.service.http_server import HttpPages, Reply

_spec = importlib.util.spec_from_file_location("browser", Path(__file__).with_name("browser.py"))
browser = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(browser)

pytestmark = [
    pytest.mark.runner,
    pytest.mark.skipif(browser.CHROMIUM is None, reason="no Chromium is installed, such as Debian's package chromium"),
]

EVIL = "<script>window.evil = 1</script><img src=x onerror='window.evil = 2'>"
UNTIL = """new Promise(done => {{
  const look = () => ({condition}) ? done(true) : setTimeout(look, 50);
  look();
}})"""


@pytest.fixture(scope="module")
def ready():
    """The status that /readyz answers with."""
    return [200]


@pytest.fixture(scope="module")
def address(adder, tmp_path_factory, ready):
    path = tmp_path_factory.mktemp("models") / "adder.onnx"
    path.write_bytes(adder(1, shape=(3,)))
    presets = [
        Preset(name="adder", description=f"Adds 1. {EVIL}", run_inference={"model": {"onnx": {"uri": str(path)}}}),
        Preset(
            name="sums",
            run_inference={
                "ensemble": {"models": [{"onnx": {"uri": str(path)}}, {"onnx": {"uri": str(path)}}]},
                "pre_hooks": [{"round": {"columns": ["x"]}}] * 6,
            },
        ),
    ]
    page = CataloguePage(presets, About("localhost:8097"))

    def injected(visit):
        reply = page(visit)
        return replace(reply, body=reply.body.replace(b"</main>", EVIL.encode() + b"</main>"))

    def readyz(visit):
        return Reply(b"ok\n", status=ready[0])

    pages = HttpPages("127.0.0.1", 0, {"/": page, "/injected": injected, "/readyz": readyz})
    pages.start()
    yield f"http://{pages.address}/"
    pages.close()


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser.browsing(tmp_path_factory.mktemp("profile")) as tab:
        tab.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
        yield tab


@pytest.fixture
def page(tab, address):
    tab.said.clear()
    tab.open("about:blank")
    tab.open(address)
    return tab


def until(tab, condition):
    assert tab.run(UNTIL.format(condition=condition))


def type_query(tab, text):
    tab.run("of = document.getElementById('query'); of.focus(); of.value = ''; of.dispatchEvent(new Event('input'))")
    tab.call("Input.insertText", text=text)


def shown(tab):
    return tab.run("[...document.querySelectorAll('.card')].filter(c => c.offsetParent).map(c => c.id)")


def test_nothing_complains_and_what_an_operator_wrote_does_not_run(page):
    until(page, "document.getElementById('health').dataset.state")
    assert page.run("window.evil === undefined && document.images.length === 0")
    assert page.run("document.body.innerText").count("<script>window.evil = 1</script>") == 0  # it is in a closed card
    page.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.run("document.body.innerText").count("<script>window.evil = 1</script>") == 1
    assert page.run("getComputedStyle(document.querySelector('.chain')).display") == "flex"  # so its style counts
    assert page.said == []


def test_what_is_not_the_pages_own_would_not_run_even_if_it_were_there(tab, address):
    tab.said.clear()
    tab.open(f"{address}injected")
    assert "<script>window.evil" in tab.run("document.documentElement.outerHTML")
    assert tab.run("window.evil === undefined")
    assert str(tab.said).count("Content Security Policy") >= 3  # the script, the image and its handler


def test_the_search_filters_by_all_words_and_escape_ends_it(page):
    everything = shown(page)
    assert len(everything) > 50
    type_query(page, "softmax")
    assert shown(page) == ["hook-softmax"]
    assert page.run("document.getElementById('found').textContent") == f"1 of {len(everything)}"
    assert page.run("document.querySelector('#presets').offsetParent === null")
    type_query(page, "scale deviation")
    assert "operation-scale_to_z_score" in shown(page)
    assert "hook-softmax" not in shown(page)
    type_query(page, "no such thing")
    assert shown(page) == []
    assert page.run("document.getElementById('nothing').offsetParent !== null")
    page.press("Escape")
    assert shown(page) == everything
    assert page.said == []


def test_a_copy_button_copies_what_is_beside_it(page):
    page.run("document.getElementById('preset-adder').open = true")
    page.run("document.querySelector('#preset-adder [data-language=java] .copy').click()")
    until(page, "document.querySelector('#preset-adder .copy').textContent === 'Copied'")
    copied = page.run("navigator.clipboard.readText()")
    assert copied == page.run("document.querySelector('#preset-adder [data-language=java] code').textContent")
    assert 'RunInference.<Row>preset("adder")' in copied
    assert page.said == []


def test_without_a_clipboard_the_text_is_copied_as_of_old(page):
    page.run("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.run("document.getElementById('preset-adder').open = true")
    page.run("document.addEventListener('copy', () => window.copied = String(getSelection()))")
    page.run("document.querySelector('#preset-adder [data-language=java] .copy').click()")
    until(page, "document.querySelector('#preset-adder .copy').textContent !== 'Copy'")
    assert page.run("document.querySelector('#preset-adder .copy').textContent") == "Copied"
    assert "public final class Adder" in page.run("window.copied")


def test_a_language_that_was_chosen_is_shown_everywhere_and_keys_choose_one(page):
    page.run("document.querySelectorAll('.card').forEach(card => card.open = true)")
    panels = "[...document.querySelectorAll('.panel')].filter(p => p.offsetParent)"
    visible = f"[...new Set({panels}.map(p => p.dataset.language))]"
    assert page.run(visible) == ["java"]
    page.run("document.querySelector('#preset-adder-java').focus()")
    page.press("ArrowRight")
    assert page.run("document.activeElement.id") == "preset-adder-python"
    assert page.run(visible) == ["python"]


def test_a_link_opens_what_it_leads_to(page, address):
    page.run("document.getElementById('preset-sums').open = true")
    page.run("document.querySelector('#preset-sums .title a[href=\"#hook-round\"]').click()")
    until(page, "document.getElementById('hook-round').open")
    page.open("about:blank")
    page.open(f"{address}#framework-onnx")
    assert page.run("document.getElementById('framework-onnx').open")


def test_health_is_live(page, ready):
    until(page, "document.getElementById('health-text').textContent === 'ready'")
    ready[0] = 503
    until(page, "document.getElementById('health').dataset.state === 'draining'")
    ready[0] = 200
    until(page, "document.getElementById('health-text').textContent === 'ready'")


@pytest.mark.parametrize("width", [320, 400, 800, 1400])
def test_nothing_is_wider_than_the_window(page, width):
    page.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500)
    page.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    overflow = page.run("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    page.call("Emulation.clearDeviceMetricsOverride")
    assert overflow == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_from_their_ground_in_light_and_in_dark(page, scheme):
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    page.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    worst = page.run(
        """(() => {
          const light = (color) => {
            const [r, g, b] = color.match(/[\\d.]+/g).map(Number).map(v => v / 255)
              .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const ground = (element) => {
            for (; element; element = element.parentElement) {
              const color = getComputedStyle(element).backgroundColor;
              if (!/, 0\\)$/.test(color)) return color;
            }
            return 'rgb(255, 255, 255)';
          };
          let worst = [99, ''];
          for (const element of document.querySelectorAll('body *')) {
            const own = [...element.childNodes].some(n => n.nodeType === 3 && n.data.trim());
            if (!own || !element.offsetParent) continue;
            const [a, b] = [light(getComputedStyle(element).color), light(ground(element))];
            const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (contrast < worst[0]) worst = [contrast, element.outerHTML.slice(0, 200)];
          }
          return worst;
        })()"""
    )
    page.call("Emulation.setEmulatedMedia", features=[])
    assert worst[0] >= 4.5, worst  # https://www.w3.org/TR/WCAG21/#contrast-minimum
    assert page.said == []


def test_without_scripts_all_is_there_but_search_and_copying(tab, address):
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        tab.said.clear()
        tab.open(address)
        tree = str(tab.call("DOM.getDocument", depth=-1, pierce=True))
    finally:
        tab.call("Emulation.setScriptExecutionDisabled", value=False)
    assert "preset-adder" in tree
    assert "/readyz" in tree
    assert tree.count("'hidden', ''") >= 3  # search and copy buttons
    assert tab.said == []
