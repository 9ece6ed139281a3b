"""The page in a real browser, used with the keyboard alone. Screenshots go where ``SCREENSHOTS`` says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.chromium import CHROMIUM, CONTROL, Page, chromium
from tests.serve.live import listening
from tests.serve.serving import FakeRanker, serving

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")]

TEXTS = "[...document.querySelectorAll('#%s li p')].map(p => p.textContent)"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    models = {"student": FakeRanker(0.1), "teacher": FakeRanker(-0.1)}
    with serving(models, keys=["secret"]) as server, listening(server) as address:
        yield address


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with chromium(tmp_path / "profile") as opened:
        yield opened


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    return Path(os.environ.get("SCREENSHOTS") or tmp_path)


def test_keyboard_alone_is_enough(page: Page, url: str, screenshots: Path) -> None:
    page.open(url)
    page.wait("!document.getElementById('key-field').hidden")
    assert "valid key" in page.evaluate("document.getElementById('said').textContent")
    assert page.evaluate("document.activeElement.id") == "query"  # nothing to click on first
    page.type("a query")
    page.press("Tab")
    page.type("<b>one</b>\n\none two three\none two three four\n\none two")
    page.press("Enter", modifiers=CONTROL)
    page.wait("document.activeElement.id === 'key'")  # no key yet: that is where to go
    page.type("secret")
    page.press("Enter")
    page.wait("document.querySelectorAll('#after li').length === 3")
    assert page.evaluate(TEXTS % "after") == ["one two three\none two three four", "one two", "<b>one</b>"]
    assert page.evaluate(TEXTS % "before") == ["<b>one</b>", "one two", "one two three\none two three four"]
    assert page.evaluate("document.getElementById('before-name').textContent") == "teacher"
    moves = page.evaluate("[...document.querySelectorAll('#after .move')].map(one => one.textContent)")
    assert moves == ["▲ 2", "=", "▼ 2"]
    assert page.evaluate("document.querySelectorAll('#lines path').length") == 3
    said = page.evaluate("document.getElementById('said').textContent")
    assert "2 of 3 moved; the best one was at 3." in said
    assert "ms scoring" in said
    page.screenshot(screenshots / "light.png")

    for _ in range(12):  # on to the list of the student
        page.press("Tab")
        if page.evaluate("document.activeElement.closest('#after') !== null"):
            break
    assert page.evaluate("document.activeElement.dataset.index") == "1"
    for key, index in (("ArrowDown", "2"), ("ArrowDown", "0"), ("ArrowDown", "0"), ("ArrowUp", "2"), ("End", "0")):
        page.press(key)
        assert page.evaluate("document.activeElement.dataset.index") == index
        assert page.evaluate("[...document.querySelectorAll('path.chosen')].map(one => one.dataset.index)") == [index]
    page.press("Enter")
    assert page.evaluate("document.activeElement.className") == "chosen open"
    assert page.evaluate("document.querySelectorAll('path.chosen').length") == 1
    page.size(1200, 1400, dark=True)
    page.screenshot(screenshots / "dark.png")
    page.size(420, 1400)
    page.wait("getComputedStyle(document.getElementById('before')).display === 'none'")
    page.screenshot(screenshots / "narrow.png")


def test_the_example_beside_the_order_given(page: Page, url: str, screenshots: Path) -> None:
    page.open(url)
    page.wait("!document.getElementById('key-field').hidden")
    page.evaluate("document.getElementById('key').value = 'secret'")
    page.evaluate("document.getElementById('example').click()")
    page.wait("document.querySelectorAll('#after li').length === 8")
    page.evaluate("document.getElementById('against').value = ''")
    page.evaluate("document.getElementById('go').click()")
    page.wait("document.getElementById('before-name').textContent === 'The order given'")
    given = page.evaluate("document.getElementById('passages').value")
    assert page.evaluate(TEXTS % "before") == given.split("\n")
    page.screenshot(screenshots / "given.png")
