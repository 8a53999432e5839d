"""The shipped detector as a user meets it: on the bundled examples, and as its own card describes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.examine import examine
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
    else:
        low, high = finding.bounds
        assert low <= finding.llr_low <= finding.llr_log10 <= finding.llr_high <= high


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
