"""The whole line: bytes to a finding or to one sentence, nothing twice, nothing but plain JSON out."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import examine as module
from core.commands.speechlike import speechlike, wav_bytes
from core.errors import Cancelled, EarwitnessError, ModelUnavailable, UnreadableAudio
from core.examine import examine, forget, quality_of
from tests.tiny_detector import make_calibration, make_detector


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_detector(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(autouse=True)
def fresh():
    forget()
    yield
    forget()


GOOD = wav_bytes(speechlike(6.0))


def test_a_recording_becomes_a_finding(model):
    told: list[tuple[float, str]] = []
    found = examine(
        GOOD, "good.wav", model=model, on_progress=lambda share, words: told.append((share, words))
    )
    assert not found.finding.abstained and found.finding.llr_log10 is not None
    assert found.recording.name == "good.wav" and found.recording.duration_s == 6.0
    assert len(found.entropy.entropy) == 300
    assert found.version and found.device == "cpu" and found.seconds > 0
    shares = [share for share, _ in told]
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert {"decoding", "encoding", "measuring entropy"} <= {words for _, words in told}


def test_json_is_plain_and_complete(model):
    report = examine(GOOD, "good.wav", model=model).to_dict()
    assert report["schema"] == "earwitness/examination/1"
    text = json.dumps(report, allow_nan=False)
    assert json.loads(text) == report
    finding = report["finding"]
    assert finding["scale"] == {"name": "ENFSI 2015", "version": "1"}
    assert set(finding["propositions"]) == {"bonafide", "spoof"}
    assert finding["bounds_log10"] == [-2.0, 2.0]
    assert finding["checks"][-1]["code"] == "several-speakers" and finding["checks"][-1]["fatal"] is False
    assert len(report["entropy"]["curve"]["values"]) == 300
    assert report["recording"]["sha256"] == examine(GOOD, model=model).recording.sha256


def test_an_abstaining_report_holds_no_score(model):
    report = examine(wav_bytes(np.zeros(48_000, np.float32)), model=model).to_dict()
    finding = report["finding"]
    assert finding["abstained"] and finding["reasons"][0]["code"] == "silence"
    assert finding["score"] is None and finding["llr_log10"] is None and finding["regions"] == []
    assert report["entropy"]["score_curve"] is None
    assert all(w["score"] is None for w in report["entropy"]["windows"])


def test_nothing_is_computed_twice(model, tmp_path, monkeypatch):
    first = examine(GOOD, "one.wav", model=model)
    monkeypatch.setattr(module, "analyse_entropy", lambda *a, **k: pytest.fail("computed again"))
    monkeypatch.setattr(module, "measure_quality", lambda *a, **k: pytest.fail("measured again"))
    again = examine(GOOD, "two.wav", model=model)
    assert again.entropy is first.entropy
    assert (first.recording.name, again.recording.name) == (
        "one.wav",
        "two.wav",
    )  # its own name, not the first's
    path = tmp_path / "three.wav"
    path.write_bytes(GOOD)
    assert examine(path, model=model).recording.name == "three.wav"
    assert examine(first.recording, model=model).entropy is first.entropy
    assert quality_of(first.recording) is first.quality


def test_another_model_is_another_result(model, tmp_path):
    other = make_detector(tmp_path / "tiny", calibration=make_calibration(intercept=1.0))
    a, b = examine(GOOD, model=model), examine(GOOD, model=other)
    assert b.finding.llr_log10 == pytest.approx(a.finding.llr_log10 + 1.0, abs=1e-6)


def test_what_is_kept_is_bounded():
    kept = module._Kept(3, 100.0)
    for i in range(5):
        kept.put(i, i, 10.0)
    assert [kept.get(i) for i in range(5)] == [None, None, 2, 3, 4]
    kept.put("long", "long", 1_000.0)
    assert kept.get("long") == "long" and kept.get(4) is None


def test_threads_get_the_same_result(model):
    results = []
    workers = [
        threading.Thread(target=lambda: results.append(examine(GOOD, model=model).finding.llr_log10))
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 4 and len(set(results)) == 1


def test_it_can_be_cancelled(model):
    with pytest.raises(Cancelled):
        examine(GOOD, model=model, cancelled=lambda: True)


def test_missing_models_and_devices_are_one_sentence(model, tmp_path):
    for arguments in ({"model": "no-such-model"}, {"model": model, "device": "abacus"}, {"model": tmp_path}):
        with pytest.raises(ModelUnavailable) as caught:
            examine(GOOD, **arguments)
        assert len(caught.value.message) > 20 and "\n" not in caught.value.message


def test_a_model_without_calibration_is_refused_before_work(model, tmp_path):
    folder = make_detector(tmp_path / "half")
    (folder / "calibration.safetensors").unlink()
    with pytest.raises(ModelUnavailable, match="calibration"):
        examine(GOOD, model=folder)


def nan_wav() -> bytes:
    samples = speechlike(2.0)
    samples[100] = np.nan
    return wav_bytes(samples, subtype="FLOAT")


@pytest.mark.parametrize(
    "data",
    [b"", b"RIFF", b"this is no audio" * 20, GOOD[:60], wav_bytes(speechlike(0.05)), nan_wav()],
    ids=["empty", "four-bytes", "text", "header-only", "50-ms", "nan"],
)
def test_bad_bytes_are_one_sentence(model, data):
    with pytest.raises(UnreadableAudio) as caught:
        examine(data, "bad.wav", model=model)
    assert caught.value.message.endswith((".", "!")) and "\n" not in caught.value.message


def t(seconds: float) -> np.ndarray:
    return np.arange(round(16_000 * seconds)) / 16_000


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(32_000),
        np.full(32_000, 0.4),
        0.3 * np.sin(2 * np.pi * 440 * t(3)),
        0.1 * np.random.default_rng(0).normal(size=48_000),
        speechlike(0.2),
    ],
    ids=["silence", "dc", "tone", "noise", "0.2-s"],
)
def test_what_is_no_speech_gets_no_finding(model, samples):
    found = examine(wav_bytes(np.asarray(samples, np.float32)), model=model)
    assert found.finding.abstained and found.finding.score is None
    assert found.finding.sentence.startswith("No finding: ")


@pytest.mark.parametrize(
    ("rate", "subtype", "channels"), [(8_000, "PCM_U8", 1), (192_000, "FLOAT", 2), (48_000, "PCM_24", 12)]
)
def test_unusual_formats(model, rate, subtype, channels):
    samples = np.repeat(speechlike(3.0), -(-rate // 16_000)) if rate > 16_000 else speechlike(3.0)[::2]
    sound = np.repeat(samples[:, None], channels, axis=1)
    found = examine(wav_bytes(sound, rate, subtype=subtype), "odd.wav", model=model)
    assert found.recording.facts.channels == channels
    assert found.recording.duration_s == pytest.approx(3.0, abs=0.05)


# Property: bytes in, a finding or an EarwitnessError out.


def check_bytes(data: bytes, name: str, model) -> None:
    try:
        found = examine(data, name, model=model)
    except EarwitnessError as problem:
        assert problem.message and "\n" not in problem.message
        return
    finding = found.finding
    assert finding.abstained == bool(finding.reasons) == (finding.llr_log10 is None)
    if not finding.abstained:
        assert (
            finding.bounds[0] <= finding.llr_low <= finding.llr_log10 <= finding.llr_high <= finding.bounds[1]
        )
    json.dumps(found.to_dict(), allow_nan=False)


@settings(max_examples=60)
@given(st.binary(max_size=400), st.text(max_size=30))
def test_any_bytes_under_any_name(model, data, name):
    check_bytes(data, name, model)


SHORT = wav_bytes(speechlike(1.2))


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=12),
    st.integers(40, len(SHORT)),
    st.sampled_from([b"", b"\0" * 50, b"LIST", b"\xff" * 9]),
)
def test_a_wav_with_flipped_bytes_and_a_cut_end(model, flips, length, tail):
    data = bytearray(SHORT)
    for place, value in flips:
        data[place] = value
    check_bytes(bytes(data[:length]) + tail, "spoilt.wav", model)


def encoded(kind: str, subtype: str | None = None) -> bytes:
    import io

    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, speechlike(1.0), 16_000, format=kind, subtype=subtype)
    return buffer.getvalue()


CODED = [encoded("FLAC"), encoded("OGG", "VORBIS"), encoded("MP3")]


@settings(max_examples=45)
@given(
    st.sampled_from(range(3)),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
    st.floats(0, 1),
)
def test_compressed_files_with_flipped_bytes(model, kind, flips, keep):
    data = bytearray(CODED[kind])
    for place, value in flips:
        data[int(place * len(data))] = value
    check_bytes(bytes(data[: int(keep * len(data))]), "spoilt", model)


@settings(max_examples=40)
@given(
    st.sampled_from(["noise", "speech", "tone", "impulses", "steps"]),
    st.floats(0.1, 5.0),
    st.floats(-80, 10),
    st.integers(0, 1000),
    st.sampled_from(["PCM_16", "FLOAT", "PCM_U8"]),
)
def test_any_sound(model, kind, seconds, level_db, seed, subtype):
    rng = np.random.default_rng(seed)
    n = max(1, round(16_000 * seconds))
    x = {
        "noise": lambda: rng.normal(size=n),
        "speech": lambda: speechlike(seconds, seed) * 10,
        "tone": lambda: np.sin(rng.uniform(0.01, 3) * np.arange(n)),
        "impulses": lambda: (rng.random(n) < 0.001).astype(float),
        "steps": lambda: np.sign(np.sin(0.001 * np.arange(n))),
    }[kind]()
    check_bytes(wav_bytes((x * 10 ** (level_db / 20)).astype(np.float32), subtype=subtype), "any.wav", model)
