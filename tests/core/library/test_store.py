"""Building, adding, removing, verifying, exporting; and everything that goes wrong with files."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest

from core.errors import Cancelled
from core.library import Library, LibraryError
from core.library import store as files
from core.library.build import Report, build
from core.library.records import read_source
from core.library.upkeep import export, remove, verify
from tests.factories import sound_bytes, voiced
from tests.tiny_library import fill, make_clips, write_manifest


def _rows(folder):
    return list(csv.DictReader((folder / "manifest.csv").open(encoding="utf-8")))


def test_a_library_holds_what_the_manifest_says(library, clips):
    assert library.snapshot.clips == 12 and len(library.segments) == library.snapshot.segments >= 12
    for clip, row in zip(library.clips, _rows(clips), strict=True):
        assert (clip.name, clip.label, clip.system, clip.speaker) == (
            row["file"],
            row["label"],
            row["system"],
            row["speaker"],
        )
        assert clip.audio == str((clips / row["file"]).resolve()) and clip.origin.startswith("https://")
    assert verify(library.folder) == []
    assert library.quote()["snapshot"] == library.snapshot.id


def test_the_same_bytes_again_change_nothing(copy, clips, detector, library):
    report = fill(copy, clips, detector)
    assert (report.added, report.known, report.snapshot.id) == (0, 12, library.snapshot.id)
    assert len(Library(copy).store.snapshots()) == 1


def test_adding_and_removing_lead_back_to_the_same_snapshot(copy, detector, library, tmp_path):
    more = make_clips(tmp_path / "more", 4, first=900)
    added = fill(copy, more, detector)
    assert added.added == 4 and added.snapshot.id != library.snapshot.id and added.snapshot.clips == 16
    digests = [c.sha256 for c in Library(copy).clips[12:]]
    after = remove(copy, digests)
    assert after.id == library.snapshot.id and after.clips == 12
    again = Library(copy, added.snapshot.id)  # the state between is still there
    assert len(again.clips) == 16 and again.segments.vectors.shape[0] == added.snapshot.segments
    np.testing.assert_array_equal(Library(copy).segments.vectors, library.segments.vectors)
    with pytest.raises(LibraryError, match="0 clips"):
        remove(copy, ["ffffffffffff"])


def test_two_builds_of_the_same_clips_are_the_same_library(library, clips, detector, tmp_path):
    fill(tmp_path / "twin", clips, detector)
    twin = Library(tmp_path / "twin")
    assert twin.snapshot.id == library.snapshot.id
    np.testing.assert_array_equal(twin.segments.vectors, library.segments.vectors)


def test_an_interrupted_build_shows_nothing_and_is_taken_up(clips, detector, library, tmp_path, monkeypatch):
    from core.library import build as building

    monkeypatch.setattr(building, "CHUNK", 3)
    seen = []
    folder = tmp_path / "broken"
    with pytest.raises(Cancelled):
        fill(
            folder,
            clips,
            detector,
            geometry=library.geometry,
            on_progress=lambda n, _: seen.append(n),
            cancelled=lambda: len(seen) >= 7,
        )
    with pytest.raises(LibraryError, match="not finished"):
        Library(folder)
    waiting = files.Store.open(folder).waiting()
    assert 0 < waiting < 12
    report = fill(folder, clips, detector)
    assert report.added == 12 - waiting and report.snapshot.id == library.snapshot.id


def test_a_full_disk_is_one_sentence_and_the_earlier_snapshot_stays(copy, detector, library, tmp_path, monkeypatch):
    more = make_clips(tmp_path / "more", 2, first=900)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(LibraryError, match=r"vectors-\w+\.npy can't be written \(No space left"):
        fill(copy, more, detector)
    monkeypatch.undo()
    assert Library(copy).snapshot.id == library.snapshot.id and not list(copy.glob("*.part"))
    assert fill(copy, more, detector).added == 2


def test_unreadable_clips_are_named_and_the_others_go_on(detector, tmp_path):
    folder = make_clips(tmp_path / "clips", 6)
    (folder / "clip01.wav").write_bytes(b"these are words")
    (folder / "clip02.wav").unlink()
    (folder / "clip03.wav").write_bytes(b"")
    report = fill(tmp_path / "library", folder, detector)
    assert report.added == 3 and len(report.refused) == 3
    assert {name for name in ("clip01", "clip02", "clip03") if any(name in r.what for r in report.refused)} == {
        "clip01",
        "clip02",
        "clip03",
    }
    assert all(r.reason and "Traceback" not in r.reason for r in report.refused)


def test_duplicate_audio_under_two_labels_is_reported_and_not_kept(detector, library, copy, clips, tmp_path):
    folder = make_clips(tmp_path / "clips", 6)
    shutil.copy(folder / "clip00.wav", folder / "clip01.wav")  # bona fide bytes under a spoof's name
    report = fill(tmp_path / "library", folder, detector)
    assert report.added == 4 and sum("both labels" in r.reason for r in report.refused) == 2
    rows = _rows(clips)
    flipped = [row | {"label": "spoof", "family": "tts"} for row in rows[:1]]
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    shutil.copy(clips / rows[0]["file"], wrong / rows[0]["file"])
    write_manifest(wrong, flipped)
    report = fill(copy, wrong, detector)
    assert report.added == 0 and "same bytes as bonafide" in report.refused[0].reason
    assert report.snapshot.id == library.snapshot.id


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"label": "maybe"}, "neither bonafide nor spoof"),
        ({"file": "../../etc/passwd"}, "not a file inside"),
        ({"family": "tts"}, "contradicts"),
    ],
)
def test_a_wrong_row_is_named(detector, tmp_path, row, reason):
    folder = make_clips(tmp_path / "clips", 6)
    rows = _rows(folder)
    rows[0] |= row
    write_manifest(folder, rows)
    report = fill(tmp_path / "library", folder, detector)
    assert report.added == 5 and len(report.refused) == 1 and reason in report.refused[0].reason


def test_a_manifest_without_a_label_column_is_refused(tmp_path):
    (tmp_path / "manifest.csv").write_text("file,kind\na.wav,real\n")
    with pytest.raises(LibraryError, match=r"manifest\.csv lacks the column\(s\) label"):
        list(read_source(tmp_path, "auto", []))
    (tmp_path / "manifest.csv").unlink()
    with pytest.raises(LibraryError, match=r"no manifest\.csv"):
        list(read_source(tmp_path, "manifest", []))


def test_a_published_layout_fills_a_library(detector, tmp_path):
    """ASVspoof 2019 LA as its publishers lay it out, in small."""
    root = tmp_path / "LA"
    protocols, audio = root / "ASVspoof2019_LA_cm_protocols", root / "ASVspoof2019_LA_train" / "flac"
    protocols.mkdir(parents=True)
    audio.mkdir(parents=True)
    lines = [f"LA_0079 LA_T_{i} - {'-' if i % 2 else 'A01'} {'bonafide' if i % 2 else 'spoof'}" for i in range(4)]
    (protocols / "ASVspoof2019.LA.cm.train.trn.txt").write_text("\n".join(lines) + "\n")
    for i in range(4):
        (audio / f"LA_T_{i}.flac").write_bytes(sound_bytes(voiced(1.5, seed=i), kind="FLAC"))
    report = fill(tmp_path / "library", root, detector)
    library = Library(tmp_path / "library")
    assert report.added == 4 and {c.label for c in library.clips} == {"bonafide", "spoof"}
    assert {c.system for c in library.clips if not c.bonafide} == {"A01"}
    assert all(c.speaker == "LA_0079" and "ASVspoof" in c.source for c in library.clips)


def test_a_foreign_encoder_is_refused(copy, clips, tmp_path):
    from models.finfoed import FInfoED, save_finfoed
    from models.registry import load_detector
    from tests.tiny_detector import make_detector

    folder = make_detector(tmp_path / "other")
    save_finfoed(FInfoED.tiny(seed=5), folder / "model.safetensors")
    with pytest.raises(LibraryError, match="was made with the encoder"):
        fill(copy, clips, load_detector(folder, "cpu"))


def test_an_earlier_map_is_refused_plainly_and_its_library_stays_readable(copy, clips, detector, library):
    from core.library.geometry import fit_geometry

    newer = fit_geometry(np.random.default_rng(0).normal(size=(30, 3, 32)), library.geometry.encoder_sha256)
    with pytest.raises(LibraryError, match="two maps can't be compared; build it anew"):
        fill(copy, clips, detector, geometry=newer)
    assert Library(copy).snapshot.id == library.snapshot.id


@pytest.mark.parametrize("kind", ["vectors", "short"])
def test_a_cut_file_is_named(copy, kind):
    path = next(copy.glob(f"{kind}-*.npy"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert [f.file for f in verify(copy)] == [path.name]
    with pytest.raises(LibraryError, match=path.name):
        _ = Library(copy).segments


def test_a_changed_file_and_a_foreign_map_are_found(copy, library):
    path = next(copy.glob("short-*.npy"))
    body = bytearray(path.read_bytes())
    body[-1] ^= 1
    path.write_bytes(bytes(body))
    assert "changed" in verify(copy)[0].message
    assert verify(copy, "another encoder")[0].file == "geometry.safetensors"
    from core.library.geometry import fit_geometry

    fit_geometry(np.random.default_rng(0).normal(size=(30, 3, 32)), "x").save(copy / "geometry.safetensors")
    with pytest.raises(LibraryError, match=r"geometry\.safetensors"):
        Library(copy)


def test_no_readable_clip_makes_no_library(detector, tmp_path):
    folder = make_clips(tmp_path / "clips", 2)
    for path in folder.glob("*.wav"):
        path.write_bytes(b"no sound")
    with pytest.raises(LibraryError, match="two readable clips"):
        fill(tmp_path / "library", folder, detector)
    assert not (tmp_path / "library" / "library.sqlite").exists()


def test_an_export_can_be_read_without_this_program(library, tmp_path):
    written = export(library, tmp_path / "out", numbers=True)
    assert {p.name for p in written} >= {"clips.csv", "snapshot.json", "vectors.npy"}
    rows = list(csv.DictReader((tmp_path / "out" / "clips.csv").open(encoding="utf-8")))
    assert [r["sha256"] for r in rows] == [c.sha256 for c in library.clips]
    assert json.loads((tmp_path / "out" / "snapshot.json").read_text())["snapshot"] == library.snapshot.id
    with pytest.raises(LibraryError, match="not empty"):
        export(library, tmp_path / "out")


def test_the_command_line_does_all_of_it(clips, detector, tmp_path, monkeypatch, capsys):
    import models.registry
    from core.__main__ import main

    monkeypatch.setattr(models.registry, "DEFAULT_MODEL", str(models.registry.model_folder(_folder_of(detector))))
    place = ["--library", str(tmp_path / "library")]
    assert main(["library", "build", str(clips), *place]) == 0 and "12 added" in capsys.readouterr().out
    assert main(["library", "verify", *place]) == 0
    assert main(["library", "list", *place]) == 0 and "12 clips" in capsys.readouterr().out
    assert main(["library", "neighbours", str(clips / "clip00.wav"), "-k", "2", "--json", *place]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "earwitness/neighbours/1" and found["library"]["clips"] == 12
    assert all(n["sha256"] != found["recording_sha256"] for n in found["neighbours"])
    assert main(["library", "export", str(tmp_path / "out"), *place]) == 0
    assert main(["library", "build", str(clips)]) == 2 and "shipped library" in capsys.readouterr().err


def _folder_of(detector):
    from models import registry

    return next(key[0] for key, value in registry._cache.items() if value is detector)


def test_a_build_reports_through_its_own_report(clips, detector, library, copy):
    report = Report()
    assert build(copy, [], detector, report=report) is report and report.snapshot.id == library.snapshot.id
