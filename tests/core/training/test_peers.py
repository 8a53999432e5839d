"""Published networks on the same clips: the rule by which they hear a file, and that scores are kept."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile as sf
from safetensors.torch import save_file

from core.training.corpus import Clip
from core.training.peers import peer_rows, scores_of
from models.aasist import AASIST, N_SAMPLES


@pytest.fixture
def weights(tmp_path):
    save_file({k: v.contiguous() for k, v in AASIST.tiny().state_dict().items()}, str(tmp_path / "peer.safetensors"))
    return tmp_path / "peer.safetensors"


def sound(path, n: int, seed: int):
    sf.write(path, 0.1 * np.random.default_rng(seed).standard_normal(n), 16_000, subtype="FLOAT")
    return path


def test_a_long_file_is_the_mean_of_its_ends_and_a_short_one_is_repeated(weights, tmp_path):
    long = sound(tmp_path / "long.wav", 80_000, 0)
    x, _ = sf.read(long, dtype="float32")
    for name, part in (("first", x[:N_SAMPLES]), ("last", x[-N_SAMPLES:]), ("short", x[:16_000]),
                       ("tiled", np.resize(x[:16_000], N_SAMPLES))):
        sf.write(tmp_path / f"{name}.wav", part, 16_000, subtype="FLOAT")
    names = ("long", "first", "last", "short", "tiled")
    found = dict(zip(names, scores_of(weights, [tmp_path / f"{n}.wav" for n in names]), strict=True))
    assert found["long"] == pytest.approx((found["first"] + found["last"]) / 2, abs=2e-2)
    assert found["short"] == pytest.approx(found["tiled"], abs=1e-5)


def test_scores_are_kept_and_not_made_twice(weights, tmp_path):
    clips = [Clip(f"{label}{i}", f"{label}{i}.wav", label, label, "human" if label == "bonafide" else "tts", f"s{i}", "x")
             for label in ("bonafide", "spoof") for i in range(4)]
    for i, c in enumerate(clips):
        sound(tmp_path / c.file, 20_000, i)
    work = tmp_path / "work"
    work.mkdir()
    first = peer_rows([weights], tmp_path, clips, work, print)
    (rates,) = first.values()
    assert 0 <= rates["eer_pooled"]["value"] <= 1 and "tts" in rates["eer_by_family"]
    weights.write_bytes(b"gone")
    assert peer_rows([weights], tmp_path, clips, work, print) == first
