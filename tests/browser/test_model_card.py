"""The model card in a real browser: opened without a recording, drawn, chosen from, saved; light and dark."""

from __future__ import annotations

import hashlib
import json
import re
import time
from pathlib import Path

import pytest

from core.validation import HeldOutScores
from tests.core.cards import complete
from tests.core.test_validation import rows

pytestmark = pytest.mark.browser


@pytest.fixture
def card(app_url, tmp_path_factory):
    """A complete card with its table beside the running app's tiny detector (and this session's other ones); taken away
    afterwards.
    """
    folders = sorted({path.resolve() for path in tmp_path_factory.getbasetemp().glob("models*/tiny")})
    before = [(folder / "card.json").read_bytes() for folder in folders]
    table = HeldOutScores.from_rows(rows(200)).to_csv()
    named = {"file": "validation.csv", "sha256": hashlib.sha256(table).hexdigest()}
    for folder in folders:
        (folder / "validation.csv").write_bytes(table)
        (folder / "card.json").write_text(json.dumps(complete(validation=named)))
    yield table
    for folder, body in zip(folders, before, strict=True):
        (folder / "card.json").write_bytes(body)
        (folder / "validation.csv").unlink()


def open_page(page) -> None:
    page.get_by_test_id("stSidebarNav").get_by_role("link", name="Model card", exact=True).click()
    page.get_by_role("heading", name="Model card", exact=True).wait_for()
    page.get_by_text(re.compile("Held-out table: 200 bona fide clips")).wait_for()


def test_the_card_is_read_chosen_from_and_saved(page, card):
    open_page(page)
    page.get_by_text(re.compile("wrong about 16 times in 100")).wait_for()
    assert page.get_by_text("No recording is open").count() >= 1
    page.locator(".stPlotlyChart").nth(5).wait_for()
    for chart in page.locator(".stPlotlyChart").all():
        assert chart.locator(".main-svg").count() >= 1 and chart.bounding_box()["height"] > 80
    page.get_by_role("radio", name="duration").click()
    page.get_by_text("4 s and more").first.wait_for()
    page.get_by_text("✗ exceeds").first.scroll_into_view_if_needed()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Held-out scores (CSV)").click()
    assert Path(saved.value.path()).read_bytes() == card
    with page.expect_download() as saved:
        page.get_by_role("button", name="Card (Markdown)").click()
    assert Path(saved.value.path()).read_text().startswith("# Model card: tiny panel")
    wide = page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert wide, "nothing sticks out sideways"


def test_the_card_in_the_dark_keeps_its_words_readable(page, card):
    page.emulate_media(color_scheme="dark")
    page.reload()
    open_page(page)
    text = page.locator(".stPlotlyChart .xtick text").first
    text.wait_for()
    time.sleep(0.5)
    ink, ground = page.evaluate("""() => {
        const t = document.querySelector('.stPlotlyChart .xtick text'), a = document.querySelector('.stApp');
        const grey = c => c.match(/[\\d.]+/g).slice(0, 3).reduce((x, y) => x + +y, 0) / 3;
        return [grey(getComputedStyle(t).fill), grey(getComputedStyle(a).backgroundColor)];
    }""")
    assert ground < 60 and ink > 150
