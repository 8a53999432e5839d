"""Neighbours and Map in a real browser without a graphics card, with the shipped detector and library."""

from __future__ import annotations

import re

import pytest

from tests.browser.conftest import serving
from tests.factories import sound_bytes, voiced

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def app_url(tmp_path_factory):
    """The app as it is shipped: its library belongs to its own encoder."""
    with serving(tmp_path_factory, "-") as url:
        yield url


def _visit(page, title: str, sign: str) -> None:
    page.get_by_test_id("stSidebarNav").get_by_role("link", name=title, exact=True).click()
    page.get_by_text(re.compile(sign)).first.wait_for()
    _still(page)


def _still(page) -> None:
    page.get_by_test_id("stStatusWidget").wait_for(state="detached")
    page.wait_for_timeout(500)


def test_an_example_finds_its_original_plays_it_and_lies_on_the_map(page):
    page.get_by_role("button", name="Open", exact=True).nth(1).click()  # the vocoder copy
    page.locator(".stage").wait_for()
    _visit(page, "Neighbours", "Nearest of all: Allison Smith, bona fide")
    page.get_by_text("The library holds these very bytes").wait_for()
    page.get_by_role("button", name="Play beside").first.click()
    page.get_by_text("Spectra of the questioned recording and of real-woman.flac").wait_for()
    _still(page)
    page.locator(".player .play").click()
    page.wait_for_timeout(1_200)
    assert page.locator(".player").get_attribute("data-playing") == "true"
    page.get_by_role("button", name="Take out").first.click()
    page.get_by_text("Taken out by you: Allison Smith").wait_for()
    page.get_by_text("score with your changes").wait_for()
    _still(page)
    _visit(page, "Map", "windows? placed; on average")
    box = page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.8, steps=8)
    page.mouse.up()
    page.get_by_text(re.compile(r"\d+ clips selected")).wait_for()
    assert page.locator("canvas.gl-canvas, .gl-container canvas").count() == 0, "drawn without WebGL"


def test_an_upload_has_neighbours_and_a_place(page):
    page.locator("input[type=file]").first.set_input_files(
        [{"name": "voice.wav", "mimeType": "audio/wav", "buffer": sound_bytes(voiced(6.0, seed=8))}]
    )
    page.get_by_role("heading", name="voice").wait_for()
    _visit(page, "Neighbours", "Nearest of all:")
    page.get_by_text("Scores that retrieve").wait_for()
    _visit(page, "Map", "2 windows placed")
