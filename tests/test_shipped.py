"""The shipped detector as a user meets it: on the bundled examples, and as its own card describes it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from core.audio import read_recording
from core.examine import examine
from core.panel import listen
from core.training.robustness import CLEAN
from core.training.robustness_conditions import CONDITIONS
from models.panel import TRACES
from models.registry import DEFAULT_MODEL, load_detector

EXAMPLES = Path(__file__).parent.parent / "examples"
LISTED = json.loads((EXAMPLES / "examples.json").read_text(encoding="utf-8"))
CLIPS = LISTED["examples"] if isinstance(LISTED, dict) else LISTED


@pytest.mark.parametrize("clip", CLIPS, ids=lambda c: c["id"])
def test_every_example_ends_in_a_bounded_finding_or_a_reasoned_abstention(clip: dict) -> None:
    done = examine(EXAMPLES / clip["file"])
    finding = done.finding
    assert finding.abstained == bool(clip.get("abstains") or clip.get("disagreed"))
    assert ("members-disagree" in {r.code for r in finding.reasons}) == bool(clip.get("disagreed"))
    if finding.abstained:
        assert finding.reasons and finding.llr_log10 is None
        assert clip.get("disagreed") or finding.reasons[0].code == clip["abstains"]
    else:
        low, high = finding.bounds
        assert low <= finding.llr_low <= finding.llr_log10 <= finding.llr_high <= high


@pytest.mark.parametrize(("condition", "code"), [
    ("clean | as it is", None), ("resampling | through 44,100 Hz", None), ("MP3 | 128 kbit/s", None),
    ("Opus | 12 kbit/s", "speech-coder"), ("tandem | Opus 12, then MP3 64 kbit/s", "speech-coder"),
    ("room | RT60 0.6 s, direct 0 dB", "room"), ("MP3 | 32 kbit/s", "compression"),
])
def test_what_a_recording_went_through_is_refused_by_name(condition: str, code: str | None) -> None:
    done = examine(through(condition, "neural-voice.flac"))
    said = {r.code for r in done.finding.reasons} & set(TRACES)
    assert said == ({code} if code else set())
    assert done.finding.abstained or code is None


def test_lost_packets_hardly_move_the_score() -> None:
    """They are bridged before the panel listens; unbridged, the same losses move it further."""
    detector = load_detector(DEFAULT_MODEL)
    whole, lost = (sound(c, "neural-voice.flac") for c in ("clean | as it is", "packet loss | 5% of 20 ms packets"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.panel.bridged", lambda x: x)
        apart = abs(listen(lost, detector.panel).scores - listen(whole, detector.panel).scores).mean()
    bridged = abs(listen(lost, detector.panel).scores - listen(whole, detector.panel).scores).mean()
    assert bridged < apart


def sound(condition: str, name: str) -> np.ndarray:
    """An example as a condition of the robustness table leaves it, float32 (n,) at 16 kHz."""
    samples = read_recording((EXAMPLES / name).read_bytes(), name).samples
    return {c.key: c for c in (CLEAN, *CONDITIONS)}[condition].apply(samples, np.random.default_rng(0))


def through(condition: str, name: str) -> bytes:
    file = io.BytesIO()
    sf.write(file, sound(condition, name), 16_000, format="WAV", subtype="FLOAT")
    return file.getvalue()


def test_the_card_states_what_the_files_are_and_how_wrong_the_detector_is() -> None:
    detector = load_detector(DEFAULT_MODEL)  # refuses files whose digests differ from the card's
    card = detector.card
    assert card["weights_sha256"] == detector.weights_sha256
    rates = card["metrics"]["leave_source_out"]
    assert 0 < rates["eer_pooled"]["low"] <= rates["eer_pooled"]["value"] <= rates["eer_pooled"]["high"] < 0.5
    assert card["baselines"]["channel_only"]["eer_pooled"]["value"] > 0.4  # level and bandwidth give nothing away
    assert {"protocol", "training_data", "recipe", "folds"} <= card.keys()


def test_the_calibration_is_no_worse_than_saying_nothing() -> None:
    rates = load_detector(DEFAULT_MODEL).card["metrics"]["leave_source_out"]
    assert rates["cllr"]["value"] < 1.0
