"""Bringing a detector in a real browser: open its folder, calibrate it on labelled clips, see it beside the finding."""

from __future__ import annotations

import pytest

from tests.browser.test_journey import settled, upload, visit
from tests.core.detectors.tiny import labelled_folder, save_tiny
from tests.factories import sound_bytes, voiced

pytestmark = pytest.mark.browser


def test_bring_a_detector(page, tmp_path):
    folder, clips = save_tiny(tmp_path / "toy", "wav2vec2"), labelled_folder(tmp_path / "clips")
    upload(page, "voice.wav", sound_bytes(voiced(6.0, seed=1)))
    visit(page, "Finding")
    settled(page)
    visit(page, "Other detectors")
    page.get_by_text("Only the default is calibrated").wait_for()

    page.get_by_label("Model folder, or safetensors file of an AASIST").fill(str(folder))
    page.get_by_test_id("stBaseButton-secondaryFormSubmit").filter(has_text="Open").click()
    page.get_by_text("run the polarity check first").first.wait_for()

    field = page.get_by_label("Labelled folder or CSV")
    field.fill(str(clips))
    field.press("Enter")
    page.get_by_test_id("stStatusWidget").wait_for(state="detached")
    page.wait_for_timeout(1_000)
    page.get_by_role("button", name="Calibrate on these clips").click()
    page.get_by_text("In use, calibrated").wait_for()
    page.get_by_text("Cllr calibrated, cross-validated").wait_for()

    page.get_by_role("heading", name="Side by side").wait_for()
    table = page.locator(".ew-table").first
    assert "toy" in table.inner_text() and "(default)" in table.inner_text()
    assert page.locator(".stage").is_visible()
