"""Cards: parsed strictly, merged by who knows better, and never able to say two things at once."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import detectors
from core.detectors import card, external, store
from core.detectors.card import CROPS, NORMALISATIONS, Card, card_beside, parse_card
from core.detectors.loading import words_of
from core.errors import ModelUnavailable
from tests.core.detectors.tiny import save_tiny

words = st.text(st.characters(categories=("L", "N", "P"), include_characters=" "), max_size=40).map(str.strip)
cards = st.builds(
    Card, title=words, exposure=words, licence=words, source=words,
    bonafide_index=st.none() | st.integers(0, 3), sample_rate_hz=st.none() | st.integers(4_000, 192_000),
    crop=st.none() | st.sampled_from([c for c in CROPS if c != "whole"]), crop_s=st.none() | st.floats(0.1, 60),
    normalisation=st.none() | st.sampled_from(sorted(NORMALISATIONS)),
)  # fmt: skip
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4), max_leaves=12)
FIELDS = ("schema", "title", "spoof_index", "bonafide_index", "sample_rate_hz", "crop", "normalisation", "exposure",
          "licence", "source", "pool_ratios", "temperatures")


@given(cards)
def test_a_card_survives_its_file(given_card):
    assert parse_card(json.loads(json.dumps(given_card.to_json()))) == given_card


@given(st.dictionaries(st.sampled_from(FIELDS), json_values) | json_values)
def test_any_json_is_a_card_or_one_sentence(data):
    try:
        read = parse_card(data)
    except ModelUnavailable as refusal:
        assert refusal.message.endswith(".") and "\n" not in refusal.message
    else:
        assert isinstance(read, Card)
        assert parse_card(json.loads(json.dumps(read.to_json()))) == read


@given(cards, cards)
def test_merging_keeps_what_the_later_one_says(first, second):
    both = first.merged(second)
    for name, value in vars(second).items():
        if value not in (None, ""):
            assert getattr(both, name) == value
    assert first.merged(Card()) == first and Card().merged(second) == second
    assert both.merged(second) == both


@given(st.sampled_from(["spoof_index", "bonafide_index"]), st.integers(0, 1), st.sampled_from([1, 2, 3]))
def test_indices_mean_one_thing(name, index, n_logits):
    terms = Card(**{name: index})
    if index >= n_logits:
        with pytest.raises(ModelUnavailable, match="names logit"):
            terms.bona_fide_logit(n_logits)
        return
    found = terms.bona_fide_logit(n_logits)
    if name == "bonafide_index":
        assert found == index
    else:
        assert found == {1: -1, 2: 1 - index, 3: None}[n_logits]
    assert (n_logits == 3 and found is None) == ("which logit means bona fide" in terms.missing(n_logits))


@pytest.mark.parametrize("field", ["title", "exposure", "licence", "source"])
def test_words_dont_change_a_score_and_settings_do(field):
    base = Card(spoof_index=0, sample_rate_hz=16_000)
    assert base.merged(Card(**{field: "x"})).scoring_sha256 == base.scoring_sha256
    for other in (Card(spoof_index=1), Card(sample_rate_hz=8_000), Card(crop="whole"), Card(normalisation="none")):
        assert base.merged(other).scoring_sha256 != base.scoring_sha256


def test_both_indices_alike_is_a_contradiction():
    with pytest.raises(ModelUnavailable, match="same logit"):
        parse_card({"spoof_index": 1, "bonafide_index": 1})


def test_one_card_in_a_folder_of_many_weights_belongs_to_nobody(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.safetensors").write_bytes(b"")
    (tmp_path / card.FILE).write_text('{"spoof_index": 0}')
    assert card_beside(tmp_path / "a.safetensors") is None
    (tmp_path / f"a.{card.FILE}").write_text('{"spoof_index": 1}')
    assert card_beside(tmp_path / "a.safetensors").spoof_index == 1


@pytest.mark.parametrize("body", ["", "[", "nan", '{"spoof_index": NaN}', "[1]", '{"spoof_index": "0"}', "[" * 100_000,
                                  '{"schema": "other/9"}', '{"sample_rate_hz": 1}', '{"crop": {"policy": "some"}}',
                                  '{"crop": "tiled"}', '{"normalisation": "loud"}', '{"exposure": 4}'])  # fmt: skip
def test_a_bad_card_is_one_sentence(tmp_path, body):
    folder = save_tiny(tmp_path / "m", "wav2vec2")
    (folder / card.FILE).write_text(body)
    with pytest.raises(ModelUnavailable) as refusal:
        detectors.load(folder, "cpu")
    assert card.FILE in refusal.value.message


@pytest.mark.parametrize(("labels", "wanted"), [
    (("bonafide", "spoof"), 0), (("fake", "real"), 1), (("Spoof", "Bona-fide"), 1), (("LABEL_0", "LABEL_1"), None),
    (("real", "real"), None), (("real", "cat"), None), ((), None)])  # fmt: skip
def test_labels_suggest_and_nothing_more(tmp_path, labels, wanted):
    assert words_of(labels) == wanted
    if len(labels) == 2 and wanted is not None:
        folder = save_tiny(tmp_path / "m", "wav2vec2", labels=labels)
        assert external.inspect(folder).suggested_bonafide == wanted
        assert external.load(folder, "cpu").terms.bona_fide_logit(2) is None, "a label's name is no evidence"


def test_what_a_card_leaves_out_is_named():
    assert Card().missing(2) == ("sample rate", "crop policy", "normalisation")
    assert Card(crop="tiled").missing(2)[1] == "window length" and Card(crop="whole").missing(2)[-1] == "normalisation"
    assert Card().unsaid() == ("training exposure", "licence")


def test_a_shipped_name_stays_the_shipped_detectors(tmp_path):
    from models.registry import DEFAULT_MODEL

    folder = save_tiny(tmp_path / DEFAULT_MODEL, "wav2vec2")
    record = store.remember(folder, external.inspect(folder).files_sha256)
    assert record.name.startswith(f"{DEFAULT_MODEL}-") and detectors.load(record.name, "cpu").family == "wav2vec2"


def test_two_models_of_one_name_get_two_names(tmp_path):
    one, two = (save_tiny(tmp_path / f / "model", f) for f in ("wav2vec2", "hubert"))
    first, second = (store.remember(p, external.inspect(p).files_sha256) for p in (one, two))
    assert first.name == "model" and second.name.startswith("model-")
    assert {detectors.load(r.name, "cpu").family for r in (first, second)} == {"wav2vec2", "hubert"}
    assert store.remember(one, first.files_sha256) == first
