"""An examiner's way through the app in a real browser: open, hear, see, select, change pages, upload, record,
go blind.
"""

from __future__ import annotations

import re

import pytest

from tests.factories import av_bytes, sound_bytes, voiced

pytestmark = pytest.mark.browser
GUTTER, MARGIN = 64, 14  # of the player's lanes, px
PLAYER = (
    "document.querySelector('.stBidiComponent [data-testid=stBidiComponentIsolated]').shadowRoot.querySelector('.player')"
)


def upload(page, name: str, body: bytes) -> None:
    page.locator("input[type=file]").first.set_input_files(
        [{"name": name, "mimeType": "audio/wav", "buffer": body}]
    )
    page.get_by_role("heading", name=name.rsplit(".", 1)[0]).wait_for()
    page.locator(".stage").wait_for()
    page.wait_for_timeout(500)


def visit(page, title: str) -> None:
    page.get_by_test_id("stSidebarNav").get_by_role("link", name=title, exact=True).click()
    page.get_by_role("heading", name=title, exact=True).wait_for()
    page.locator(".stage").wait_for()


def time_of(page) -> float:
    minutes, seconds = page.locator(".player .time").inner_text().split(":")
    return 60 * int(minutes) + float(seconds)


def place(page, share: float) -> tuple[float, float]:
    """Page coordinates of a moment of the recording, within the waveform."""
    box = page.locator(".stage").bounding_box()
    return box["x"] + GUTTER + share * (box["width"] - GUTTER - MARGIN), box["y"] + 55


def settled(page) -> None:
    """The examination is over and the page stands still."""
    page.get_by_text(re.compile(r"log10 LR =|No finding")).first.wait_for()
    page.get_by_test_id("stStatusWidget").wait_for(state="detached")
    page.wait_for_timeout(300)


def test_from_a_recording_to_a_finding(page):
    upload(page, "voice.wav", sound_bytes(voiced(6.0, seed=1)))
    visit(page, "Finding")
    settled(page)
    page.get_by_text(re.compile("The examined speech is .* probable")).wait_for()
    _play(page)
    _seek_and_select(page)
    visit(page, "Frame entropy")
    assert re.match(r"Selection 0:02\.[34]", page.locator(".player .chosen").inner_text()), "it goes along"
    page.get_by_text("as selected in the player").wait_for()
    _click_a_frame(page)
    _play_a_lead(page)


def _play(page) -> None:
    page.locator(".player .play").click()
    page.wait_for_timeout(1_200)
    assert page.locator(".player").get_attribute("data-playing") == "true"
    assert 0.4 < time_of(page) < 2.5
    page.locator(".stage").focus()
    page.keyboard.press("Space")
    page.wait_for_timeout(150)
    stopped = time_of(page)
    page.wait_for_timeout(300)
    assert time_of(page) == stopped and page.locator(".player").get_attribute("data-playing") == "false"


def _seek_and_select(page) -> None:
    page.mouse.click(*place(page, 0.5))
    assert time_of(page) == pytest.approx(3.0, abs=0.03)
    page.keyboard.press("ArrowRight")
    assert time_of(page) == pytest.approx(3.02, abs=0.03)
    page.keyboard.press("Shift+ArrowLeft")
    assert time_of(page) == pytest.approx(2.02, abs=0.03)
    page.mouse.move(*place(page, 0.4))
    page.mouse.down()
    page.mouse.move(*place(page, 0.5), steps=5)
    page.mouse.move(*place(page, 0.6), steps=5)
    page.mouse.up()
    text = page.locator(".player .chosen").inner_text()
    start, stop = (float(x) for x in re.match(r"Selection 0:(\S+) – 0:(\S+) \(", text).groups())
    assert (start, stop) == (pytest.approx(2.4, abs=0.03), pytest.approx(3.6, abs=0.03)), text
    assert f"samples {start * 16:.0f}"[:10] == re.sub("\u202f", "", text.split(", ")[1])[:10]
    assert time_of(page) == pytest.approx(2.4, abs=0.03)
    page.wait_for_timeout(600)
    assert page.locator(".player .chosen").inner_text() == text, "the rerun leaves the player as it was"


def _click_a_frame(page) -> None:
    page.mouse.click(*place(page, 0.25))
    page.get_by_role("heading", name=re.compile(r"One frame: 0:01\.(4[89]|5[01])")).wait_for()


def _play_a_lead(page) -> None:
    """A row of the table of leads makes the player select and play that stretch."""
    page.get_by_text("Select a row to hear it.").wait_for()
    grid = page.get_by_test_id("stDataFrame").first
    grid.scroll_into_view_if_needed()
    box = grid.bounding_box()
    page.mouse.click(box["x"] + 16, box["y"] + 52)
    page.wait_for_function(f"{PLAYER}.dataset.playing === 'true'")


def test_an_m4a_is_taken_in_and_a_bad_file_beside_it_explained(page):
    page.locator("input[type=file]").first.set_input_files(
        [
            {"name": "bad.wav", "mimeType": "audio/wav", "buffer": b"not sound"},
            {"name": "call.m4a", "mimeType": "audio/mp4", "buffer": av_bytes(voiced(5.0, seed=2), "m4a")},
        ]
    )
    page.get_by_role("heading", name="call.m4a").wait_for()
    page.get_by_text(re.compile(r"bad.wav: The file isn't audio")).wait_for()
    page.locator(".ew-facts").get_by_text(re.compile("aac", re.I)).first.wait_for()
    visit(page, "Finding")
    settled(page)


def test_loop_zoom_and_mel_by_keyboard(page):
    upload(page, "voice.wav", sound_bytes(voiced(6.0, seed=1)))
    stage = page.locator(".stage")
    stage.focus()
    for key in ("Home", "Shift+ArrowRight", "["):
        page.keyboard.press(key)
    assert "Selection 0:01.000 – 0:06.000" in page.locator(".player .chosen").inner_text()
    for key in ("Shift+ArrowRight", "]", "l", "m", "+"):
        page.keyboard.press(key)
    assert "Selection 0:01.000 – 0:02.000" in page.locator(".player .chosen").inner_text()
    assert page.locator(".player .loop").get_attribute("aria-pressed") == "true"
    assert page.locator(".player .mel").get_attribute("aria-pressed") == "true"
    page.locator(".player .scroll:not(.off)").wait_for()  # zoomed in
    page.keyboard.press("Space")
    page.wait_for_timeout(1_700)
    assert 1.0 <= time_of(page) <= 2.0, "the loop never leaves the selection"
    page.keyboard.press("Space")
    page.keyboard.press("Escape")
    page.get_by_text("Drag to select").wait_for()
    assert stage.get_attribute("role") == "slider" and "sample" in stage.get_attribute("aria-valuetext")


def test_blind_mode_opens_after_listening_and_writing(page):
    upload(page, "short.wav", sound_bytes(voiced(2.5, seed=4)))
    page.get_by_text("Blind mode").first.click()
    visit(page, "Finding")
    page.get_by_text("Listen first").wait_for()
    assert page.get_by_text("log10 LR").count() == 0
    page.locator(".player .play").click()
    page.get_by_text(re.compile(r"Heard so far: 2\.\d s of 2\.5 s\.")).wait_for()
    page.get_by_text("I can't tell").click()
    page.get_by_label(re.compile("Why")).fill("it sounds like a machine to me")
    page.get_by_label(re.compile("Why")).blur()
    button = page.get_by_role("button", name=re.compile("Record my opinion"))
    page.wait_for_function("b => !b.disabled", arg=button.element_handle())
    button.click()
    settled(page)


def test_the_microphone_gives_a_recording(page):
    page.get_by_test_id("stAudioInputActionButton").click()
    page.wait_for_timeout(1_800)
    page.get_by_test_id("stAudioInputActionButton").click()
    page.get_by_role("heading", name="live recording.wav").wait_for()
    page.locator(".stage").wait_for()


def test_the_addresses_of_pages_open_the_whole_app(page, app_url):
    page.goto(f"{app_url}/findings")
    page.get_by_role("heading", name="Finding").wait_for()
    page.get_by_text("Under examination").wait_for()


def test_an_example_opens_with_one_click_and_says_what_to_notice(page):
    opens = page.get_by_role("button", name="Open", exact=True)
    page.get_by_text("Bundled examples", exact=True).wait_for()
    opens.first.click()
    page.locator(".stage").wait_for()
    page.get_by_text("To notice:").wait_for()
    visit(page, "Finding")
    settled(page)
    page.locator(".player .play").click()
    page.wait_for_function(f"{PLAYER}.querySelector('.time').textContent > '0:00.200'")
    assert page.locator(".player").get_attribute("data-playing") == "true"


def test_a_page_change_asks_for_no_sound_again_and_the_first_click_plays(page):
    fetched = []
    page.on("request", lambda request: fetched.append(request.url) if ".wav" in request.url else None)
    upload(page, "voice.wav", sound_bytes(voiced(6.0, seed=9)))
    page.wait_for_function("globalThis.__earwitnessSound?.size === 1")
    once = len(fetched)
    page.route("**/media/**.wav", lambda route: route.abort())  # a sound asked for now is lost
    visit(page, "Finding")
    page.locator(".player .play").click()
    page.wait_for_function(f"{PLAYER}.querySelector('.time').textContent > '0:00.200'")
    assert len(fetched) == once == 1


def test_a_click_before_the_sound_says_that_it_waits_and_then_plays(page):
    held = []
    page.route("**/media/**.wav", lambda route: held.append(route))
    upload(page, "voice.wav", sound_bytes(voiced(6.0, seed=10)))
    page.locator(".player .play").click()
    page.locator(".player .say", has_text="Loading the sound").wait_for()
    assert page.locator(".player .word").inner_text() == "Pause" and time_of(page) == 0
    for route in held:
        route.continue_()
    page.wait_for_function(f"{PLAYER}.querySelector('.time').textContent > '0:00.200'")
    assert page.locator(".player .say").inner_text() == ""
