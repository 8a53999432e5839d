"""A model card is read as it is: what was measured is shown, what was not is not made up, and nothing in it can act."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.card_sections import section, sections
from core.card_values import finite, measure, text, times_in_hundred
from core.model_card import ROWS, error_rates, escaped, headline, to_markdown
from tests.core.cards import complete

KEYS = ("errors", "peers", "ablations", "robustness", "calibration", "hybrids", "worst", "identity", "origin", "training",
        "limits", "reproduce")


@pytest.mark.parametrize(
    "card", [{}, {"metrics": None}, {"metrics": {}}, {"metrics": {"seconds": 12.0, "note": "x"}}]
)
def test_a_silent_card_gives_no_rows(card):
    assert error_rates(card) == []


def test_values_and_intervals_in_words():
    card = {
        "metrics": {
            "leave_source_out": {
                "eer_pooled": {"value": 0.213, "low": 0.19, "high": 0.24},
                "cllr": {"value": 0.71, "interval": [0.66, 0.78]},
            }
        }
    }
    assert error_rates(card) == [
        ("leave source out EER pooled", "21.3 %", "19.0 % – 24.0 %"),
        ("leave source out Cllr", "0.71", "0.66 – 0.78"),
    ]


def test_the_table_stays_short():
    assert len(error_rates({"metrics": {f"eer_{i}": 0.1 for i in range(50)}})) == ROWS


# ---- sections ------------------------------------------------------------------------------------------------


def words(s) -> str:
    cells = (c for t in s.tables for r in t.rows for c in r)
    return " ".join([*s.words, *(" ".join(f) for f in s.facts), *cells, s.missing])


def test_an_empty_card_says_of_every_section_that_it_is_missing():
    found = sections({})
    assert tuple(s.key for s in found) == KEYS
    assert all(s.missing and not s.words and not s.facts and not s.tables for s in found)
    assert not re.search(r"\d", " ".join(words(s) for s in found)), "no figure comes from nowhere"
    assert "nothing is claimed" in headline({})[0] and len(headline({})) == 1


def test_a_complete_card_has_every_section():
    found = {s.key: words(s) for s in sections(complete())}
    assert not any(s.missing for s in sections(complete()))
    expected = {
        "errors": ("16.0 % [13.0, 19.0]", "vocoded real speech", "s4"),
        "peers": ("AASIST", "28.0 %", "only bandwidth and level"),
        "ablations": ("no-copies", "22.0 % (20.0 to 24.0)"), "worst": ("12 of 20", "c9", "a/b.wav"),
        "robustness": ("✓ within a third (not certain)", "✗ exceeds", "■ abstains",
                       "AMR-WB was not measured: no encoder", "7 %", "31 %", "1,200"),
        "calibration": ("31.6 times in favour of synthesis", "15.8 times in favour of bona fide", "10 % more"),
        "hybrids": ("24.0 %", "100"), "identity": ("one", "0.7"),
        "training": ("CC0-1.0", "not stated in the card", "1,234"),
        "limits": ("English",), "reproduce": ("fold 2", "r1, r2", "loss.alpha"), "origin": ("Apache-2.0",),
    }
    for key, parts in expected.items():
        assert all(p in found[key] for p in parts), (key, found[key])


def test_traces_are_named_in_words_where_they_are_known():
    table = section(complete(), "robustness").tables[1]
    assert table.headers[2:] == ("refused: a reverberant room", "refused: later-kind", "refused by any")
    assert table.rows == (("bona fide, as it is", "1,200", "5 %", "1 %", "6 %"),) and table.note == "who refuses what"
    assert len(section({"robustness": complete()["robustness"]}, "robustness").tables) == 1


def test_every_row_is_as_long_as_its_header():
    for s in sections(complete()):
        for t in s.tables:
            assert {len(r) for r in t.rows} == {len(t.headers)} and all(i < len(t.headers) for i in t.numeric), t.title


def test_the_headline_in_plain_words():
    said = " ".join(headline(complete()))
    assert "wrong about 16 times in 100" in said and "Guessing is wrong 50 times in 100" in said
    assert "most on vocoded real speech (30.0 %) and least on text to speech (12.0 %)" in said
    assert "say something (Cllr 0.55" in said


@pytest.mark.parametrize(("rate", "said"), [
    (0.36, "36 times in 100"), (0.01, "1 time in 100"), (0.004, "4 times in 1,000"), (0.5, "50 times in 100"),
    (0.0001, "fewer than 1 time in 1,000")])
def test_rates_as_frequencies(rate, said):
    assert times_in_hundred(rate) == said


def test_a_protocol_that_holds_its_rate_itself_is_read_too():
    held = {"value": 0.4, "low": 0.3, "high": 0.5, "eer_macro": 0.41}
    card = {"metrics": {"leave_source_out": held}, "peers": {"p": 0.2}}
    assert "40 times in 100" in headline(card)[0] and "40.0 % [30.0, 50.0]" in words(section(card, "errors"))
    assert "40.0 %" in words(section(card, "peers"))


def test_one_seed_is_said_to_rank_nothing():
    one = {"seeds_and_ablations": {"a": {"eer_pooled_by_seed": [0.2]}}}
    assert "rank nothing" in section(one, "ablations").tables[0].note
    assert "rank nothing" not in section(complete(), "ablations").tables[0].note


def test_panels_and_peers_in_other_shapes():
    assert "0.6" in words(section({"panel": {"one": 0.6, "two": 0.4}}, "identity"))
    assert "0.6" in words(section({"panel": [{"name": "one", "weight": 0.6}]}, "identity"))
    assert "25.0 %" in words(section({"peers": [{"name": "p", "metrics": {"eer_pooled": 0.25}}]}, "peers"))
    rows = {"robustness": complete()["robustness"]["rows"]}
    assert "exceeds" in words(section(rows, "robustness"))


def test_numbers_are_numbers_only():
    assert [finite(v) for v in (True, "1", float("nan"), float("inf"), None, 10**400, [1], 2)] == [None] * 7 + [2.0]
    assert measure({"value": "0.2"}) is None and measure({"value": 0.2, "low": "x", "high": 1}).low is None
    assert measure({"value": 0.2, "interval": "no"}).low is None
    assert len(text("x" * 10_000)) <= 600 and "\n" not in text("a\nb\x00c")


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3), max_leaves=8)
names = st.sampled_from([*complete(), "rows", "value", "low", "high", "by_source", "systems", "listen", "verdict",
                         "members", "interval", "eer"])


@given(st.dictionaries(names, json_values | st.dictionaries(names, json_values | st.dictionaries(names, json_values))))
def test_no_card_breaks_the_reader(card):
    assert len(sections(card)) == len(KEYS)
    assert to_markdown(card).startswith("# Model card") and headline(card)
    assert len(error_rates(card)) <= ROWS


@given(st.sampled_from(list(complete())), json_values)
def test_one_damaged_part_leaves_the_others(key, value):
    before, after = ({s.key: s for s in sections(c)} for c in (complete(), complete() | {key: value}))
    untouched = [k for k in KEYS if before[k] == after[k]]
    assert len(untouched) >= len(KEYS) - 5 and to_markdown(complete() | {key: value})


# ---- Markdown ----------------------------------------------------------------------------------------------------


def test_markdown_has_every_section_and_whole_tables():
    written = to_markdown(complete())
    titles = [line[3:] for line in written.splitlines() if line.startswith("## ")]
    assert titles == [s.title for s in sections(complete())]
    width = None
    for line in written.splitlines():
        if line.startswith("|"):
            cells = len(re.findall(r"(?<!\\)\|", line))
            assert width in (None, cells), line
            width = cells
        else:
            width = None
    assert "\n\n\n" not in written


def test_text_of_a_card_cannot_act_in_markdown():
    written = to_markdown({"name": "<img src=x> | `a` [b](c)", "limits": ["# no heading", "a|b"]})
    assert "\\<img" in written and "\\[b\\](c)" in written and "\n# no" not in written and "a\\|b" in written
    assert escaped("plain words, 1.5 %") == "plain words, 1.5 %"


def test_the_shipped_card_reads_well():
    folder = Path(__file__).parents[2] / "models" / "weights"
    for name in ("finfoed-whisper-tiny", "rad-whisper-tiny"):  # the others' cards answer other questions, on their pages
        path = folder / name / "card.json"
        card = json.loads(path.read_text())
        written = to_markdown(card)
        assert "wrong about" in written and "NaN" not in written and "None" not in written
        assert not section(card, "errors").missing and not section(card, "calibration").missing
