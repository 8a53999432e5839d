"""The attribution page in a real browser: a map comes, a box drawn on it is heard and scored, the verdict follows."""

from __future__ import annotations

import re

import pytest

from tests.browser.test_journey import upload, visit
from tests.factories import sound_bytes, voiced

pytestmark = pytest.mark.browser


def test_from_a_map_to_a_box_that_is_heard(page):
    from playwright.sync_api import expect

    page.set_default_timeout(120_000)
    upload(page, "voice.wav", sound_bytes(voiced(2.6, seed=1)))
    visit(page, "Attribution")
    page.get_by_text(re.compile("The map is")).wait_for()
    page.get_by_text(re.compile("Without this part the score moves from")).wait_for()
    page.get_by_text("Likeness to other maps of the same stretch").wait_for()
    page.get_by_text(re.compile("Not reliable here|passes every test")).first.wait_for()
    page.wait_for_timeout(500)
    _draw_a_box(page)
    page.get_by_text("The box:").wait_for()
    # while the page is drawn anew the sentence about the former region may still stand beside the new one
    expect(page.get_by_text(re.compile("Without this part the score moves from"))).to_have_count(1, timeout=120_000)
    expect(page.locator("audio")).to_have_count(2)
    visit(page, "Finding")
    visit(page, "Attribution")
    page.get_by_text("Likeness to other maps of the same stretch").wait_for()


def _draw_a_box(page) -> None:
    chart = page.locator(".stPlotlyChart").first
    chart.scroll_into_view_if_needed()
    box = chart.locator(".nsewdrag").first.bounding_box()
    x, y = box["x"], box["y"]
    page.mouse.move(x + 0.3 * box["width"], y + 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(x + 0.45 * box["width"], y + 0.5 * box["height"], steps=6)
    page.mouse.move(x + 0.6 * box["width"], y + 0.7 * box["height"], steps=6)
    page.mouse.up()
