"""The complementarity page in a real browser, with the shipped members: an example and an upload."""

from __future__ import annotations

import re

import pytest

from tests.browser.test_journey import upload, visit
from tests.factories import sound_bytes, voiced

pytestmark = pytest.mark.browser


def _compared(page) -> None:
    visit(page, "Complementarity")
    page.get_by_text(re.compile("Fused, the members say log10 LR")).wait_for()
    page.get_by_text("Only this model uses it").wait_for()
    page.get_by_text("Does training for difference pay?").wait_for()
    page.locator(".stPlotlyChart").last.wait_for()


def test_members_of_an_example(page):
    page.set_default_timeout(180_000)  # eight jobs, on a machine that may be busy
    page.get_by_role("button", name="Open", exact=True).nth(1).click()  # the vocoder copy
    page.locator(".stage").wait_for()
    _compared(page)
    page.get_by_text("Each member's own map").click()
    page.get_by_text(re.compile("20 linear-frequency cepstra")).first.wait_for()


def test_members_of_an_upload_are_still_there_after_a_page_change(page):
    page.set_default_timeout(180_000)
    upload(page, "voice.wav", sound_bytes(voiced(3.2, seed=1)))
    _compared(page)
    visit(page, "Finding")
    _compared(page)
