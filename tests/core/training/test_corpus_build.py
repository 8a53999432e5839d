"""The corpus engine: recipes, sources, groups, and what happens when material, disk or power fail."""

from __future__ import annotations

import csv
import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from core.__main__ import main
from core.training import corpus_build, corpus_make, sources_packages
from core.training import synthesisers as speech
from core.training.corpus import Clip, CorpusError, groups_of, load_prepared, load_views, split, write_views
from core.training.corpus_build import build, shifted
from core.training.recipes import BuildRecipe, load_recipe, shipped
from core.training.sources_base import SourceAbsent
from tests.core.corpora.layouts import put
from tests.factories import voiced

HEADER = ["clip", "file", "label", "system", "family", "speaker", "source", "partial", "group", "licence"]


def sound(path: Path, seconds: float = 1.2, pitch_hz: float = 120.0, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, voiced(seconds, seed, pitch_hz=pitch_hz), 16_000)
    return path


def manifest(root: Path, rows: list[list[str]]) -> Path:
    with (root / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER, *rows])
    return root


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Four clips: two real (one of a speaker that a spoof has, too), a spoof, a hybrid."""
    root = tmp_path / "corpus"
    for i in range(4):
        sound(root / f"{i}.flac", 1.2, 100 + 20 * i, i)
    return manifest(root, [
        ["r0", "0.flac", "bonafide", "recording", "human", "ann", "src/a", "", "", "CC0-1.0"],
        ["r1", "1.flac", "bonafide", "recording", "human", "bob", "src/a", "", "room:1", "CC0-1.0"],
        ["s2", "2.flac", "spoof", "vits", "tts", "ann", "src/b", "", "voice:x", "MIT"],
        ["h3", "3.flac", "spoof", "edit", "tts", "", "src/c", "0.4-0.9", "", "MIT"],
    ])


def recipe(corpus: Path, **changes) -> BuildRecipe:
    base = BuildRecipe("test", 2, 0, 8.0, {"phase": 1.0}, "", ({"kind": "manifest", "folder": str(corpus)},), corpus)
    return replace(base, **changes)


def test_a_build_has_every_clip_and_copy_with_its_provenance(corpus: Path, tmp_path: Path) -> None:
    report = build(recipe(corpus), tmp_path / "out", workers=1)
    assert {c.clip for c in report.clips} == {"r0", "r1", "s2", "h3", "r0-phase", "r1-phase"}
    assert load_prepared(tmp_path / "out") == report.clips and not report.dropped
    by_name = {c.clip: c for c in report.clips}
    assert by_name["r1-phase"].parent == "r1" and by_name["r1-phase"].group == "room:1"
    assert by_name["h3"].partial == "0.400-0.900" and by_name["s2"].licence == "MIT"
    assert all(load_views(tmp_path / "out", c).shape[0] == 2 for c in report.clips)
    counts = json.loads((tmp_path / "out" / "build.json").read_text())
    assert counts["clips"] == 6 and counts["counts"]["label"] == {"bonafide": 2, "spoof": 4}


def test_a_killed_build_goes_on_where_it_stopped(corpus: Path, tmp_path: Path, monkeypatch) -> None:
    out, done = tmp_path / "out", []

    def dies(job):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(job)
        return corpus_make.make(job)

    monkeypatch.setattr(corpus_build, "make", dies)
    with pytest.raises(KeyboardInterrupt):
        build(recipe(corpus), out, workers=1)
    assert not (out / "clips.csv").exists()
    (out / "audio" / "half.part").write_bytes(b"half")
    journal = out / "journal.csv"
    journal.write_text(journal.read_text()[:-4])  # the last line cut short
    second = []
    monkeypatch.setattr(corpus_build, "make", lambda job: second.append(job.item.clip.clip) or corpus_make.make(job))
    report = build(recipe(corpus), out, workers=1)
    assert len(second) in (3, 4) and len(report.clips) == 6
    assert not list((out / "audio").glob("*.part"))
    whole = build(recipe(corpus), tmp_path / "whole", workers=1)
    assert whole.clips == report.clips
    for clip in whole.clips:
        assert np.array_equal(load_views(out, clip), load_views(tmp_path / "whole", clip))


def test_a_damaged_file_of_an_earlier_run_is_made_again(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    build(recipe(corpus), out, workers=1)
    path = out / "audio" / "r0.npy"
    good = path.read_bytes()
    path.write_bytes(good[:200])
    build(recipe(corpus), out, workers=1)
    assert path.read_bytes() == good


def test_a_full_disk_stops_with_a_reason_and_keeps_what_is_done(corpus: Path, tmp_path: Path, monkeypatch) -> None:
    out, real, count = tmp_path / "out", np.save, []

    def full(file, array):
        count.append(1)
        if len(count) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file, array)

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(CorpusError, match=r"disk .* is full") as stopped:
        build(recipe(corpus), out, workers=1)
    assert stopped.value.code == "disk-full"
    monkeypatch.setattr(np, "save", real)
    assert len(list((out / "audio").iterdir())) == 2
    assert len(build(recipe(corpus), out, workers=1).clips) == 6
    usage = shutil.disk_usage(out)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    (out / "audio" / "r0.npy").unlink()
    with pytest.raises(CorpusError, match="make room"):
        build(recipe(corpus), out, workers=1)
    with pytest.raises(CorpusError, match="cannot be written"):
        write_views(tmp_path / "absent" / "x.npy", np.zeros((1, 4)))


def test_everything_unusable_is_named_counted_and_nothing_else_is_lost(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    sound(root / "good.flac")
    put(root / "noise.flac", "not audio")
    sf.write(root / "silent.flac", np.zeros(16_000), 16_000)
    sf.write(root / "short.flac", voiced(1.0)[:2000], 16_000)
    sf.write(root / "nan.wav", np.full(16_000, np.nan, np.float32), 16_000, subtype="FLOAT")
    files = ("good.flac", "noise.flac", "silent.flac", "short.flac", "nan.wav", "gone.flac")
    rows = [[Path(name).stem, name, "bonafide", "recording", "human", "", "src", "", "", ""] for name in files]
    rows += [["odd", "good.flac", "real", "x", "human", "", "src", "", "", ""],
             ["wrong", "good.flac", "spoof", "x", "human", "", "src", "", "", ""],
             ["good", "good.flac", "bonafide", "recording", "human", "", "src", "", "", ""],
             ["../out", "good.flac", "bonafide", "recording", "human", "", "src", "", "", ""],
             ["out", "../good.flac", "bonafide", "recording", "human", "", "src", "", "", ""],
             ["thin"]]
    report = build(recipe(manifest(root, rows), copies={}), tmp_path / "out", workers=1)
    assert [c.clip for c in report.clips] == ["good"]
    assert report.summary["dropped"] == {"total": 11, "by_kind": {"wrong-row": 6, "unusable": 3, "unreadable": 1,
                                         "missing": 1}, "by_source": {"corpus": 6, "src": 5}}
    table = list(csv.DictReader((tmp_path / "out" / "dropped.csv").open()))
    assert len(table) == 11 and all(row["reason"] for row in table)
    assert any("line 8" in row["reason"] for row in table)


def test_the_same_sound_under_two_labels_is_a_contradiction(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    sound(root / "a.flac")
    shutil.copy(root / "a.flac", root / "b.flac")
    sound(root / "c.flac", pitch_hz=200)
    shutil.copy(root / "c.flac", root / "d.flac")
    report = build(recipe(manifest(root, [
        ["a", "a.flac", "bonafide", "recording", "human", "", "one", "", "", ""],
        ["b", "b.flac", "spoof", "vits", "tts", "", "two", "", "", ""],
        ["c", "c.flac", "bonafide", "recording", "human", "", "one", "", "", ""],
        ["d", "d.flac", "bonafide", "recording", "human", "", "two", "", "", ""]])), tmp_path / "out", workers=1)
    assert {c.clip for c in report.clips} == {"c", "d", "c-phase", "d-phase"}
    assert {d.kind for d in report.dropped} == {"contradiction"} and len(report.dropped) == 3
    train, test = split(report.clips, ["two"])
    assert [c.clip for c in test] == ["d"] and not train  # equal sounds stay together


def test_groups_stay_on_one_side() -> None:
    def clip(name: str, source: str, speaker: str = "", group: str = "", parent: str = "") -> Clip:
        return Clip(name, "", "spoof", "x", "tts", speaker, source, parent=parent or name, group=group)

    clips = [clip("a", "flite", group="voice:slt"), clip("b", "festival", group="engine; voice:slt"), clip("c", "other"),
             clip("d", "other", speaker="ann"), clip("e", "flite", speaker="ann"), clip("f", "other", parent="a")]
    train, test = split(clips, ["flite"])
    assert {c.clip for c in test} == {"a", "e"} and {c.clip for c in train} == {"c"}
    assert not set().union(*map(groups_of, train)) & set().union(*map(groups_of, test))


def test_other_settings_or_another_kind_of_folder_are_refused(corpus: Path, tmp_path: Path) -> None:
    build(recipe(corpus, copies={}), tmp_path / "out", workers=1)
    with pytest.raises(CorpusError, match="other settings"):
        build(recipe(corpus, views=3), tmp_path / "out", workers=1)
    put(tmp_path / "old" / "clips.csv", "clip\n")
    with pytest.raises(CorpusError, match="no recipe built"):
        build(recipe(corpus), tmp_path / "old", workers=1)


def test_optional_sources_are_said_to_be_absent_and_others_stop(corpus: Path, tmp_path: Path) -> None:
    gone = {"kind": "published", "folder": str(tmp_path / "nowhere")}
    both = (*recipe(corpus).source, {**gone, "optional": True})
    report = build(recipe(corpus, source=both, copies={}), tmp_path / "out", workers=1)
    assert any("left out" in said for said in report.told.values()) and len(report.clips) == 4
    with pytest.raises(SourceAbsent, match="nowhere"):
        build(recipe(corpus, source=(gone,)), tmp_path / "out2", workers=1)


def test_a_copier_that_cannot_work_here_is_said_and_left_out(corpus: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(corpus_build.copies, "absent", lambda name: "absent: apt-get install codec2")
    report = build(recipe(corpus, copies={"codec2": 1.0, "neural": 1.0, "phase": 0.0}), tmp_path / "out", workers=1)
    assert not any(c.copier for c in report.clips) and not report.dropped
    assert report.told["copier codec2"].startswith("absent") and "no vocoders" in report.told["copier neural"]


def test_neural_copies_come_from_the_vocoders_of_the_recipe(corpus: Path, tmp_path: Path) -> None:
    from models.vocoder import VocoderConfig, build_vocoder, save_vocoder

    (tmp_path / "v" / "istft").mkdir(parents=True)
    for step in (10, 20):
        model = build_vocoder(VocoderConfig(channels=16, blocks=1))
        save_vocoder(model, tmp_path / "v" / "istft" / f"istft-{step}.safetensors")
    report = build(recipe(corpus, copies={"neural": 1.0}, vocoders=str(tmp_path / "v")), tmp_path / "out", workers=1)
    made = [c for c in report.clips if c.copier]
    assert len(made) == 2 and {c.system for c in made} <= {"copy:istft-10", "copy:istft-20"}
    assert {c.parent for c in made} == {"r0", "r1"} and not report.dropped


def test_a_published_corpus_is_built_with_missing_audio_named(tmp_path: Path) -> None:
    root = tmp_path / "itw"
    sound(root / "0.wav")
    sound(root / "1.wav", pitch_hz=180)
    put(root / "meta.csv", "file,speaker,label\n0.wav,Ada,spoof\n1.wav,Bo,bona-fide\n2.wav,Cy,spoof\n3.wav,Di,unsure\n")
    source = {"kind": "published", "folder": str(root)}
    report = build(recipe(root, source=(source,), copies={}), tmp_path / "out", workers=1)
    assert sorted((c.label, c.speaker, c.source) for c in report.clips) == [
        ("bonafide", "itw-Bo", "In-the-Wild"), ("spoof", "itw-Ada", "In-the-Wild")]
    assert sorted((d.kind, d.clip) for d in report.dropped) == [("missing", "2.wav"), ("wrong-row", "")]


def test_a_long_recording_is_cut_and_its_pieces_stay_together(tmp_path: Path) -> None:
    sound(tmp_path / "speech" / "long.flac", 7.0)
    source = {"kind": "folder", "folder": str(tmp_path / "speech"), "label": "bonafide", "speaker": "{parent}"}
    report = build(recipe(tmp_path, source=(source,), copies={}, max_seconds=2.0), tmp_path / "out", workers=1)
    assert len(report.clips) == 3 and {c.speaker for c in report.clips} == {"speech"}
    assert len({c.group for c in report.clips}) == 1 and report.clips[0].group.startswith("file:")


class Beeper(speech.Synthesiser):
    name, licence = "beeper", "ours"

    def absent(self) -> str:
        return ""

    def voices(self) -> list[speech.Voice]:
        return [speech.Voice("low", "en", "beep", "beeps", ("voice:beep",)), speech.Voice("mute", "de", "mute", "beeps")]

    def speak(self, utterance: speech.Utterance) -> tuple[np.ndarray, int]:
        if utterance.voice == "mute":
            raise speech.NotSpoken("beeper lost its voice")
        return voiced(1.0, len(utterance.text)), 16_000


def test_synthesisers_are_spoken_grouped_and_their_failures_counted(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(speech, "synthesisers", lambda: {"beeper": Beeper()})
    monkeypatch.setattr("core.training.sources_synthesis.synthesisers", lambda: {"beeper": Beeper()})
    source = {"kind": "synthesis", "clips": 4}
    report = build(recipe(tmp_path, source=(source,)), tmp_path / "out", workers=1)
    assert len(report.clips) == 2 and {c.system for c in report.clips} == {"beeps"}
    assert all(c.group == "voice:beep" and c.source == "synthesiser:beeper" for c in report.clips)
    assert [d.kind for d in report.dropped] == ["not-spoken"] * 2
    assert report.told["beeper"] == "present, 2 voices"


def test_packages_are_absent_or_read(tmp_path: Path, monkeypatch) -> None:
    package = sources_packages.Package(str(tmp_path / "stamps"), "CC0-1.0", "en", r"_([a-z]{2})\.ogg$")
    monkeypatch.setattr(sources_packages, "PACKAGES", {"stamps": package, "other": replace(package, root="/nowhere")})
    with pytest.raises(SourceAbsent, match="apt-get install stamps"):
        build(recipe(tmp_path, source=({"kind": "packages"},)), tmp_path / "out", workers=1)
    for name in ("fox_fr.ogg", "fox.ogg"):
        (tmp_path / "stamps").mkdir(exist_ok=True)
        sf.write(tmp_path / "stamps" / name, voiced(1.0, len(name)), 16_000)
    report = build(recipe(tmp_path, source=({"kind": "packages"},), copies={}), tmp_path / "out", workers=1)
    assert sorted(c.speaker for c in report.clips) == ["stamps-en", "stamps-fr"]
    assert report.told["other"].startswith("absent")
    for i in range(5):
        sf.write(tmp_path / "stamps" / f"cat{i}_fr.ogg", voiced(1.0, i), 16_000)
    few = recipe(tmp_path, source=({"kind": "packages", "most": 2},), copies={})
    assert sorted(c.language for c in build(few, tmp_path / "few", workers=1).clips) == ["en", "fr", "fr"]


def test_speech_inside_a_python_package_is_found_and_nothing_is_imported(tmp_path: Path, monkeypatch) -> None:
    inside = tmp_path / "talking_parrot" / "sounds"
    inside.mkdir(parents=True)
    (inside.parent / "__init__.py").write_text("raise RuntimeError('imported')")
    sf.write(inside / "hello.wav", voiced(1.0, 1), 16_000)
    package = sources_packages.Package("python:talking_parrot/sounds", "CC0-1.0", get="pip install talking-parrot")
    monkeypatch.setattr(sources_packages, "PACKAGES", {"parrot": package})
    with pytest.raises(SourceAbsent, match="pip install talking-parrot"):
        build(recipe(tmp_path, source=({"kind": "packages"},)), tmp_path / "out", workers=1)
    monkeypatch.syspath_prepend(tmp_path)
    assert [p.name for p in sources_packages.package_files("parrot")] == ["hello.wav"]


def test_a_stretch_moves_with_the_cut() -> None:
    assert shifted("0.5-1.25", 0.25, 4.0) == "0.250-1.000"
    assert shifted("0.5-1;3-9", 2.0, 4.0) == "1.000-4.000"
    assert shifted("middle third", 1.0, 4.0) == "middle third"
    assert shifted("", 1.0, 4.0) == ""
    assert shifted("0-1", 2.0, 4.0) == "yes"


@pytest.mark.parametrize("name", shipped())
def test_shipped_recipes_are_valid(name: str) -> None:
    assert load_recipe(name).name == name


@pytest.mark.parametrize(("text", "words"), [
    ("views = 2", "needs at least one"),
    ("views = 0\n[[source]]\nkind='manifest'", "views must lie between 1 and 64"),
    ("views = true\n[[source]]\nkind='manifest'", "views must lie"),
    ("colour = 1\n[[source]]\nkind='manifest'", "unknown entries: colour"),
    ("[[source]]\nkind='magic'", "no source of kind 'magic'"),
    ("[copies]\nphoto = 1\n[[source]]\nkind='manifest'", "copies can be made by"),
    ("[copies]\nworld = 2\n[[source]]\nkind='manifest'", "share of world"),
    ("[[source", "not valid"),
])
def test_a_wrong_recipe_is_refused_with_its_reason(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(CorpusError, match=words):
        load_recipe(put(tmp_path / "r.toml", text))
    with pytest.raises(CorpusError, match="needs the option 'folder'"):
        build(load_recipe(put(tmp_path / "s.json", '{"source": [{"kind": "manifest"}]}')), tmp_path / "out", workers=1)


def test_the_command_builds_and_says_what_it_did(corpus: Path, tmp_path: Path, capsys) -> None:
    put(tmp_path / "r.toml", "views = 1\n[[source]]\nkind = 'manifest'\nfolder = '{corpus}'\n")
    line = ["corpus", "build", "--from", str(tmp_path / "r.toml"), "--corpus", str(corpus), "--into",
            str(tmp_path / "out"), "--workers", "1"]
    assert main(line) == 0
    assert "4 clips" in capsys.readouterr().out
    assert main(["corpus", "sources"]) == 0
    assert "espeak-ng" in capsys.readouterr().out
    assert main(["corpus"]) == 2
    assert "--into" in capsys.readouterr().err
