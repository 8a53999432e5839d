"""Exported stretches read back as they were, in every format."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from core.segments import Segment, table, to_audacity, to_csv, to_rttm

times = st.tuples(st.integers(0, 10_000_000), st.integers(1, 1_000_000)).map(
    lambda pair: (pair[0] / 16_000, (pair[0] + pair[1]) / 16_000)
)


@given(st.lists(times, max_size=20))
def test_csv_keeps_exact_sample_indices(pairs):
    segments = [Segment(a, b, "low entropy", 1.5, "bits") for a, b in pairs]
    rows = list(csv.DictReader(io.StringIO(to_csv(segments, name="a.wav", sha256="00").decode())))
    assert [(int(r["start_sample_16k"]), int(r["stop_sample_16k"])) for r in rows] == [
        s.samples for s in segments
    ]
    assert [s.samples for s in segments] == [(round(a * 16_000), round(b * 16_000)) for a, b in pairs]


def test_audacity_labels_are_tab_separated():
    assert to_audacity([Segment(1.0, 2.5, "spoof-like")]) == b"1.000000\t2.500000\tspoof-like\n"


def test_rttm_has_ten_fields_whatever_the_names():
    line = to_rttm([Segment(1.0, 2.5, "two words")], name="my file.wav").decode().split()
    assert len(line) == 10 and line[0] == "SPEAKER" and line[3:5] == ["1.000", "1.500"]
    assert line[1] == "my_file.wav" and line[7] == "two_words"


def test_a_name_cannot_become_a_formula():
    text = to_csv([Segment(0, 1, "x")], name="=cmd()", sha256="0").decode()
    assert "\n'=cmd()" in text


def test_table_reads_as_times_and_samples():
    row = table([Segment(61.5, 62.0, "spoof-like", -2.0, "log10 LR")])[0]
    assert row["from"] == "1:01.500" and row["first sample"] == 984_000 and row["seconds"] == 0.5
