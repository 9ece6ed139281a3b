from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

from distilrank.serve.page import PAGE
from tests.serve.serving import serving


class Elements(HTMLParser):
    """What is on the page: its tags with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(PAGE)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_runs_its_own_script_and_nothing_else() -> None:
    with serving(keys=["secret"]) as server:
        answer = server.client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        content = answer.text.split(f"<{tag}>")[1].split(f"</{tag}>")[0]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_nothing_comes_from_elsewhere_and_no_text_becomes_markup() -> None:
    assert set(re.findall(r"https?://[^\s\"']+", PAGE)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Storage", PAGE)
    attributes = {name for _, given in Elements().found for name in given}
    assert "style" not in attributes
    assert not any(name.startswith("on") for name in attributes)


def test_every_field_has_a_label_and_every_name_is_there_once() -> None:
    found = Elements().found
    names = [given["id"] for _, given in found if "id" in given]
    assert len(names) == len(set(names))
    assert set(re.findall(r"\$\(\"([\w-]+)\"\)", PAGE)) <= set(names)
    labelled = {given["for"] for tag, given in found if tag == "label"}
    fields = {given["id"] for tag, given in found if tag in ("input", "textarea", "select")}
    assert fields == labelled
    assert not any("tabindex" in given for _, given in found)
    assert dict(found)["html"] == {"lang": "en"}
