"""The speaker page in a real browser with the shipped networks: enrol, see the gate, move the boundary, hear, teach."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.browser.conftest import serving
from tests.browser.test_journey import upload, visit
from tests.factories import sound_bytes, voiced

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def app_url(tmp_path_factory):
    """The app as it is shipped."""
    with serving(tmp_path_factory, "-") as url:
        yield url


def still(page) -> None:
    page.get_by_test_id("stStatusWidget").wait_for(state="detached")
    page.wait_for_timeout(400)


def answered(page) -> None:
    """The verdict stands, or its reasons."""
    page.get_by_text(re.compile("The kept speech is|No verdict:")).first.wait_for()
    page.get_by_text("The verdict as a function of the threshold").wait_for()
    still(page)


def test_an_upload_enrolled_from_a_file_moved_heard_and_examined_alone(page):
    page.set_default_timeout(120_000)
    two = np.concatenate([voiced(5.0, seed=1), voiced(5.0, seed=2, pitch_hz=220)])
    upload(page, "two.wav", sound_bytes(two))
    visit(page, "Speaker")
    page.get_by_text("Enrol the voice in question above").wait_for()
    page.locator("input[type=file]").first.set_input_files(
        [{"name": "reference.wav", "mimeType": "audio/wav", "buffer": sound_bytes(voiced(8.0, seed=3))}])
    answered(page)
    before = page.get_by_text(re.compile(r"Kept: \d+ stretches")).inner_text()
    page.get_by_role("slider", name=re.compile("Threshold on the gate")).focus()
    for _ in range(12):
        page.keyboard.press("ArrowLeft")
    still(page)
    page.get_by_role("slider", name=re.compile("Threshold on the gate")).focus()
    page.keyboard.press("Home")
    page.get_by_text(re.compile(r"Kept: 1 stretches, 10\.0 s")).wait_for()
    assert before
    still(page)
    assert page.locator("audio").count() >= 1
    page.get_by_role("button", name="Examine only this speaker").click()
    page.get_by_text(re.compile("Heard alone|can't be compared in numbers")).wait_for()
    still(page)


def test_examples_of_one_voice_and_teaching(page):
    page.set_default_timeout(120_000)
    page.get_by_role("button", name="Open", exact=True).nth(2).click()  # hybrid: the same speaker as real-woman
    page.locator(".stage").wait_for()
    visit(page, "Speaker")
    page.get_by_role("radio", name="a bundled example").click()
    page.get_by_role("button", name="Enrol", exact=True).click()
    answered(page)
    page.get_by_text("Teaching: mix two known voices").click()
    page.get_by_text(re.compile("At 0.50 the gate keeps")).wait_for()
    still(page)
