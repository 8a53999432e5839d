"""The model card page in every state: complete, minimal, damaged, without a table, with another's table."""

from __future__ import annotations

import hashlib
import json
import shutil

import pytest

import models.registry
from core.metrics import eer
from core.validation import HeldOutScores
from tests.core.cards import complete
from tests.core.test_validation import rows


@pytest.fixture
def model(tmp_path, detector_folder, monkeypatch):
    """A detector folder of this test's own, the only one installed; returns a function that writes card and table."""
    folder = tmp_path / "weights" / "card-under-test"
    shutil.copytree(detector_folder, folder)
    monkeypatch.setattr(models.registry, "WEIGHTS", folder.parent)
    monkeypatch.setattr(models.registry, "DEFAULT_MODEL", folder.name)

    def write(card: object, table: bytes | None = None, named: bool = True):
        if table is not None:
            (folder / "validation.csv").write_bytes(table)
            if named:
                card = card | {"validation": {"file": "validation.csv", "sha256": hashlib.sha256(table).hexdigest()}}
        body = card if isinstance(card, str) else json.dumps(card)
        (folder / "card.json").write_text(body)
        return folder

    return write


TABLE = HeldOutScores.from_rows([r | {"score:peer": -r["score"]} for r in rows(120)]).to_csv()


def test_a_complete_card_shows_everything(bench, model):
    card = complete()
    rate = eer(*HeldOutScores.from_csv(TABLE).split())[0]
    card["metrics"]["leave_source_out"]["eer_pooled"]["value"] = rate
    model(card, TABLE)
    words = bench.go("model_card").words()
    assert f"wrong about {100 * rate:.0f} times in 100" in words and "Held-out table: 120 bona fide clips" in words
    assert set(bench.charts()) == {"det", "tippett", "ece", "reliability", "eer-by-family", "robustness"}
    for title in ("How wrong it is, and where", "By kind of material", "What recordings may have gone through", "Limits",
                  "Compared with others on the same clips", "What its parts contribute", "Where it fails most",
                  "Recordings that are synthetic in part", "Calibration and bounds", "What it is", "Where it comes from",
                  "What it was trained on", "How to reproduce it", "The card and its data"):
        assert title in words, title
    for part in ("✗ exceeds", "■ abstains", "✓ within a third", "AMR-WB was not measured", "a/b.wav", "CC0-1.0",
                 "It was measured on English."):
        assert part in words, part
    assert not bench.at.error and not bench.at.warning and "No recording is open" in words


def test_every_chart_has_data_a_download_and_words(bench, model):
    model(complete(), TABLE)
    bench.go("model_card")
    charts = bench.charts()
    labels = [e.label for e in bench.at.expander]
    assert labels.count("Data behind this figure") == len(charts) == labels.count("What this means / what it doesn't")
    buttons = [e.proto for e in bench.at.get("download_button")]
    assert sum(b.label == "Data as CSV" for b in buttons) == len(charts) and all(b.ignore_rerun for b in buttons)
    assert {b.label for b in buttons} > {"Card (JSON)", "Card (Markdown)", "Held-out scores (CSV)", "All tables (CSV)"}
    for name, figure in charts.items():
        notes = [a["text"] for a in figure["layout"]["annotations"] if a.get("name") == "provenance"]
        assert notes and hashlib.sha256(TABLE).hexdigest()[:8] in notes[0], name


def test_kinds_can_be_chosen(bench, model):
    model(complete(), TABLE)
    bench.go("model_card")
    for by in ("system", "language", "duration"):
        bench.at.segmented_control(key="card-kind").set_value(by).run()
        assert f"eer-by-{by}" in bench.charts() and not bench.at.exception
    assert "few: " in bench.words() and "4 s and more" in bench.words()


def test_a_minimal_card_says_what_is_missing(bench, model):
    model({"name": "bare"})
    words = bench.go("model_card").words()
    assert "nothing is claimed" in words and "There is no table of held-out scores (validation.csv)" in words
    assert not bench.charts() and not bench.at.error
    for part in ("no robustness table", "compares this detector with no other", "states no limits", "trained on"):
        assert part in words, part


def test_a_card_without_a_table_shows_what_it_states(bench, model):
    model(complete())
    words = bench.go("model_card").words()
    assert set(bench.charts()) == {"eer-stated", "robustness"}
    assert "There is no table of held-out scores" in words and "vocoded real speech" in words and "s4" in words


def test_a_table_without_figures_in_the_card_gives_the_headline(bench, model):
    card = complete()
    del card["metrics"]
    model(card, TABLE)
    words = bench.go("model_card").words()
    assert "wrong about 1" in words and "Held-out table" in words and "By kind of synthesis" not in bench.at.error


def test_another_evaluations_table_is_noticed(bench, model):
    folder = model(complete(), TABLE)
    (folder / "validation.csv").write_bytes(TABLE.replace(b"bonafide", b"bonafide ", 1))
    words = bench.go("model_card").words()
    assert "is not the table that the card names" in words and "det" not in bench.charts()
    model(complete(), TABLE, named=False)
    bench.go("model_card")
    assert any("may be of other weights" in w.value for w in bench.at.warning)
    card = complete()
    card["metrics"]["leave_source_out"]["eer_pooled"]["value"] = 0.02
    model(card, TABLE)
    bench.go("model_card")
    assert any("not of the same evaluation" in w.value for w in bench.at.warning)


@pytest.mark.parametrize("table", [b"clip,label\n1,2\n", b"", b"\xff\xfe" * 40, TABLE.replace(b"spoof", b"fake", 1)])
def test_a_damaged_table_leaves_the_card(bench, model, table):
    model(complete(), table)
    words = bench.go("model_card").words()
    assert len(bench.at.error) == 1 and "Traceback" not in bench.at.error[0].value
    assert "wrong about 16 times" in words and "robustness" in bench.charts()


@pytest.mark.parametrize("card", ["", "[]", "{", '"x"', "[" * 100_000])
def test_a_damaged_card_is_one_sentence(bench, model, card):
    model(card)
    bench.go("model_card")
    assert len(bench.at.error) == 1 and "fetch the model again" in bench.at.error[0].value and not bench.charts()


@pytest.mark.parametrize("file", ["../validation.csv", "/etc/passwd", "a/b.csv", "model.safetensors", 7, None, "x" * 500])
def test_only_a_plain_file_beside_the_card_is_opened(bench, model, file):
    model(complete(validation={"file": file}))
    words = bench.go("model_card").words()
    assert ("no plain file name" in words) and "det" not in bench.charts() and "root:" not in words


def test_words_of_a_card_cannot_act(bench, model):
    bad = "<img src=x onerror=alert(1)>"
    card = complete(name=bad, limits=[f"**{bad}**"], by_system={bad: 0.4}, system=bad, peers={bad: 0.3})
    model(card, TABLE)
    bench.go("model_card")
    for tree in bench.at.get("html"):
        assert "<img" not in tree.proto.body
    assert all("<img" not in e.value.replace("\\<", "") for e in [*bench.at.markdown, *bench.at.caption])
    assert "<img" not in json.dumps(bench.charts())


def test_odd_values_do_not_stop_the_page(bench, model):
    odd = {"value": 3, "low": "x"}
    model(complete(metrics=[1], robustness=7, worst={"systems": "none"}, peers=[odd],
                   calibration={"bounds_log10": [2, 1]}, training_data=[], folds="x",
                   recipe=odd, panel=3, by_system=odd, seeds_and_ablations=odd))
    words = bench.go("model_card").words()
    assert "nothing is claimed" in words and not bench.at.exception


def test_several_detectors_can_be_chosen(bench, model):
    folder = model(complete())
    other = folder.parent / "another"
    shutil.copytree(folder, other)
    (other / "card.json").write_text(json.dumps({"name": "another card"}))
    (folder.parent / "of another kind").mkdir()
    (folder.parent / "of another kind" / "card.json").write_text("[]")
    bench.go("model_card")
    assert bench.at.selectbox(key="card-detector").options == ["card-under-test", "another", "of another kind"]
    bench.at.selectbox(key="card-detector").set_value("another").run()
    assert "nothing is claimed" in bench.words() and not bench.at.exception
    bench.at.selectbox(key="card-detector").set_value("of another kind").run()
    assert "can't be read" in bench.at.error[0].value and not bench.at.exception


def test_no_detector_is_said(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(models.registry, "WEIGHTS", tmp_path / "none")
    monkeypatch.setattr(models.registry, "DEFAULT_MODEL", "none")
    bench.at.switch_page("pages/model_card.py").run()
    assert "No detector is installed" in bench.words() and not bench.at.exception


def test_a_cancelled_measurement_waits_for_a_word(bench, model, monkeypatch):
    from core import validation_tables
    from core.errors import Cancelled

    def cancelled(*_, **__):
        raise Cancelled

    model(complete(), TABLE)
    with monkeypatch.context() as patch:
        patch.setattr(validation_tables, "validate", cancelled)
        words = bench.go("model_card").words()
    assert "The card itself is below" in words and "det" not in bench.charts()
    bench.settle()
    assert "det" not in bench.charts(), "it is not started again by itself"
    next(b for b in bench.at.button if b.label == "Measure the held-out table again").click().run()
    bench.settle()
    assert "det" in bench.charts()
