"""The command line: exit statuses, tables that can be taken up again, and no traceback for anything."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.__main__ import main
from core.commands import common, score, table
from core.commands.speechlike import speechlike, wav_bytes
from core.examine import forget
from tests.tiny_detector import make_calibration, make_detector

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_detector(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def files(tmp_path):
    forget()
    folder = tmp_path / "clips"
    (folder / "deeper").mkdir(parents=True)
    (folder / "b.wav").write_bytes(wav_bytes(speechlike(3.0)))
    (folder / "a.wav").write_bytes(wav_bytes(speechlike(2.0, 1)))
    (folder / "deeper" / "c.WAV").write_bytes(wav_bytes(np.zeros(32_000, np.float32)))
    (folder / "bad.mp3").write_bytes(b"not audio at all")
    (folder / "notes.txt").write_text("a.wav\n")
    return folder


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as table:
        return list(csv.DictReader(table))


# examine


def test_examine_prints_the_finding(model, files, capsys):
    assert main(["examine", str(files / "b.wav"), "--model", str(model)]) == 0
    out = capsys.readouterr()
    assert "probable if it" in out.out and "log10 LR =" in out.out and "ENFSI 2015" in out.out
    assert "Traceback" not in out.err


@pytest.mark.parametrize(
    ("names", "status"),
    [
        (["b.wav"], 0),
        (["deeper/c.WAV"], 3),
        (["bad.mp3"], 2),
        (["b.wav", "deeper/c.WAV"], 3),
        (["bad.mp3", "deeper/c.WAV", "b.wav"], 2),
        (["missing.wav", "b.wav"], 2),
        ([""], 2),
    ],
)
def test_exit_status_is_the_gravest(model, files, names, status, capsys):
    assert main(["examine", *(str(files / n) for n in names), "--model", str(model)]) == status
    out = capsys.readouterr()
    assert out.out.count("log10 LR =") == names.count("b.wav")  # the other files are unharmed
    assert "Traceback" not in out.err


def test_examine_json_is_one_object_per_line(model, files, capsys):
    names = [str(files / n) for n in ("b.wav", "bad.mp3", "deeper/c.WAV")]
    assert main(["examine", *names, "--json", "--model", str(model)]) == 2
    good, bad, silent = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert good["schema"] == "earwitness/examination/1" and good["file"] == names[0]
    assert good["finding"]["llr_log10"] is not None
    assert bad["error"]["code"] == "not-audio" and bad["error"]["message"].endswith(".")
    assert silent["finding"]["abstained"] and silent["finding"]["score"] is None


def test_a_missing_model_is_one_sentence(files, capsys):
    assert main(["examine", str(files / "b.wav"), "--model", "no-such-model"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1


def test_a_fault_of_the_program_stops_neither_files_nor_terminal(model, files, capsys, monkeypatch):
    import core.examine

    real = core.examine.read_recording

    def flaky(source, name=None):
        if Path(source).name == "a.wav":
            raise KeyError("a bug")
        return real(source, name)

    monkeypatch.setattr(core.examine, "read_recording", flaky)
    names = [str(files / n) for n in ("a.wav", "b.wav")]
    assert main(["examine", *names, "--model", str(model)]) == 2
    out = capsys.readouterr()
    assert "log10 LR" in out.out and "KeyError" in out.err and "Traceback" not in out.err


def test_names_are_printed_without_tricks(model, files, capsys):
    name = files / "x\x1b[2J\u202ey.wav"
    name.write_bytes(wav_bytes(speechlike(2.0)))
    assert main(["examine", str(name), "--model", str(model)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\u202e" not in out and "\\x1b[2J\\u202ey.wav" in out


@given(st.text())
def test_printable_text_stays_on_one_line(text):
    assert common.printable(text).isprintable()


# score


def test_a_folder_becomes_a_table(model, files, tmp_path):
    table = tmp_path / "scores.csv"
    assert main(["score", str(files), "--output", str(table), "--model", str(model)]) == 0
    assert (
        table.read_text().splitlines()[0]
        == "path,score,llr_log10,llr_low,llr_high,abstain,seconds,model,error"
    )
    rows = read(table)
    assert [Path(r["path"]).name for r in rows] == ["a.wav", "b.wav", "bad.mp3", "c.WAV"]
    good, _, bad, silent = rows
    assert float(good["llr_low"]) <= float(good["llr_log10"]) <= float(good["llr_high"])
    assert float(good["score"]) == pytest.approx(float(good["llr_log10"]), abs=1e-4)  # slope 1, intercept 0
    assert not good["abstain"] and not good["error"] and float(good["seconds"]) > 0
    assert good["model"].startswith("tiny@")
    assert bad["error"].endswith(".") and not bad["score"] and not bad["llr_log10"]
    assert (
        silent["abstain"] == "silence"
        and not silent["score"]
        and not silent["llr_log10"]
        and not silent["error"]
    )


def test_abstaining_on_sound_keeps_the_raw_score_alone(model, tmp_path):
    noise = tmp_path / "noise.wav"
    noise.write_bytes(wav_bytes((0.1 * np.random.default_rng(0).normal(size=48_000)).astype(np.float32)))
    table = tmp_path / "scores.csv"
    assert main(["score", str(noise), "--output", str(table), "--model", str(model)]) == 0
    (row,) = read(table)
    assert row["abstain"] and row["score"] and not row["llr_log10"] and not row["llr_low"]


def test_lists_are_relative_to_themselves(model, files, tmp_path):
    text = files / "list.txt"
    text.write_text("# two clips\n\nb.wav\r\ndeeper/c.WAV\nb.wav\n")
    table = files / "list.csv"
    table.write_text("label,file\nbonafide,a.wav\nspoof,gone.wav\n")
    for source, expected in ((text, ["b.wav", "deeper/c.WAV"]), (table, ["a.wav", "gone.wav"])):
        output = tmp_path / f"{source.stem}{source.suffix}.scores.csv"
        assert main(["score", str(source), "--output", str(output), "--model", str(model)]) == 0
        assert [r["path"] for r in read(output)] == expected
    assert read(output)[1]["error"]


def test_a_begun_table_is_taken_up(model, files, tmp_path, monkeypatch):
    table = tmp_path / "scores.csv"
    command = ["score", str(files), "--output", str(table), "--model", str(model)]
    main(command)
    whole = table.read_bytes()
    lines = whole.decode().splitlines(keepends=True)
    for torn in (
        "".join(lines[:3]),
        "".join(lines[:3]) + lines[3][:25],
        "".join(lines[:3]) + '"half a quoted na',
        "".join(lines[:3]) + "\0" * 40,
        lines[0][:12],
        "",
    ):
        table.write_text(torn)
        assert main(command) == 0
        assert [r["path"] for r in read(table)] == [r["path"] for r in csv.DictReader(lines)]
        assert "\0" not in table.read_text()
    monkeypatch.setattr(score, "_decode", lambda *a: pytest.fail("decoded again"))
    before = table.read_bytes()
    assert main(command) == 0 and table.read_bytes() == before


def test_another_model_adds_rows(model, files, tmp_path):
    table = tmp_path / "scores.csv"
    other = make_detector(tmp_path / "tiny", calibration=make_calibration(intercept=0.5))
    for which in (model, other):
        main(["score", str(files), "--output", str(table), "--model", str(which), "--quiet"])
    rows = read(table)
    assert len(rows) == 8 and len({r["model"] for r in rows}) == 2


@pytest.mark.parametrize("case", ["no list", "empty list", "foreign table", "no folder", "binary list"])
def test_what_can_not_be_scored_is_one_sentence(model, files, tmp_path, capsys, case):
    source, output = files, tmp_path / "scores.csv"
    if case == "no list":
        source = tmp_path / "gone.txt"
    if case == "empty list":
        source = tmp_path / "empty.txt"
        source.write_text("\n# nothing\n")
    if case == "foreign table":
        output.write_text("my,precious,data\n1,2,3\n")
    if case == "no folder":
        output = tmp_path / "gone" / "scores.csv"
    if case == "binary list":
        source = tmp_path / "list.bin"
        source.write_bytes(bytes(range(256)))
        output = files
    assert main(["score", str(source), "--output", str(output), "--model", str(model)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and "Traceback" not in err
    if case == "foreign table":
        assert output.read_text() == "my,precious,data\n1,2,3\n"


def test_progress_goes_to_stderr(model, files, tmp_path, capsys):
    main(["score", str(files), "--output", str(tmp_path / "s.csv"), "--model", str(model)])
    out = capsys.readouterr()
    assert out.out == "" and "4/4" in out.err and "4 scored, 1 with an error" in out.err
    main(["score", str(files), "--output", str(tmp_path / "q.csv"), "--model", str(model), "--quiet"])
    assert capsys.readouterr().err == ""


@given(
    st.lists(
        st.lists(
            st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=9, max_size=9
        ),
        max_size=6,
    ),
    st.floats(0, 1),
)
def test_whole_records_survive_any_cut(rows, share):
    import io

    text = "".join(map(table.record, rows))
    kept = list(table.whole_records(text[: int(share * len(text))]))
    back = list(csv.reader(io.StringIO("".join(kept), newline="")))
    assert back == rows[: len(back)]
    assert list(csv.reader(io.StringIO("".join(table.whole_records(text)), newline=""))) == rows


# the program itself


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "core", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_help_is_quick_and_lists_every_command():
    heavy = "{'torch', 'transformers', 'librosa', 'streamlit', 'scipy'}"
    code = f"import sys, core.__main__ as m; m.parser(); print(sorted(set(sys.modules) & {heavy}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"  # nothing heavy before a command runs
    done = run("--help")
    assert done.returncode == 0
    for command in ("examine", "score", "bench", "train", "evaluate"):
        assert command in done.stdout


def test_as_a_program(model, files):
    assert run("examine", str(files / "b.wav"), "--model", str(model)).returncode == 0
    done = run("examine", str(files / "bad.mp3"), "--model", str(model))
    assert done.returncode == 2 and "Traceback" not in done.stderr and done.stdout == ""
    assert run("examine").returncode == 2
    assert run("nonsense").returncode == 2
