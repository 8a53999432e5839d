"""Encoding: equal to the bare encoder, whatever the batch, the store or the company; cancel, progress,
memory."""

from __future__ import annotations

import gc
import os
import threading
import tracemalloc
import weakref
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from core.encode import Encoding, encode
from core.errors import Cancelled, UnreadableAudio
from core.frames import plan_windows
from core.settings import LIMITS, Limits
from models.finfoed import FInfoED
from models.registry import Detector

ON_DISK = replace(LIMITS, states_in_memory_bytes=0)


def recording(seconds: float, seed: int = 0, samples: np.ndarray | None = None) -> SimpleNamespace:
    """What ``encode`` reads of a Recording."""
    if samples is None:
        samples = 0.1 * np.random.default_rng(seed).standard_normal(round(16_000 * seconds), dtype=np.float32)
        samples.flags.writeable = False
    return SimpleNamespace(samples=samples, sha256=f"{seed:064x}")


def tiny_detector(family: str = "whisper", trained: bool = True) -> Detector:
    """A random detector whose adapters do something."""
    network = FInfoED.tiny(family=family)
    if trained and network.adapters is not None:
        with torch.no_grad():
            for name, parameter in network.adapters.named_parameters():
                if ".up." in name:
                    parameter.normal_(0.0, 0.2, generator=torch.Generator().manual_seed(1))
    network = network.requires_grad_(False).eval()
    return Detector("tiny", network, torch.device("cpu"), threading.RLock(), {}, "0" * 64, {}, {})


@pytest.fixture(scope="module")
def detector() -> Detector:
    return tiny_detector()


def everything(encoding: Encoding) -> list[torch.Tensor]:
    return [encoding.batch(i, i + 1)[0] for i in range(len(encoding.windows))]


@pytest.mark.parametrize("seconds", [0.3, 1.0, 4.0, 9.5, 8.2, 13.0])
@pytest.mark.parametrize("limits", [LIMITS, ON_DISK], ids=["memory", "disk"])
def test_equals_the_network_window_by_window(detector, seconds, limits):
    source = recording(seconds)
    encoding = encode(source, detector, limits=limits)
    assert encoding.windows == plan_windows(len(source.samples)) and encoding.in_memory == (limits is LIMITS)
    assert (encoding.model, encoding.recording_sha256, encoding.hop_s) == ("tiny", source.sha256, 0.02)
    for window, states in zip(encoding.windows, everything(encoding), strict=True):
        wav = torch.from_numpy(source.samples[window.start : window.stop].copy())[None]
        with torch.inference_mode():
            expected = detector.network.encode(wav)[0]
        assert states.shape == expected.shape and states.dtype == torch.float32
        torch.testing.assert_close(states, expected, atol=1e-3, rtol=1e-3)  # fp16 in the store


@pytest.mark.parametrize("family", ["wav2vec2", "wavlm", "ast", "lfcc"])
def test_other_families_come_with_their_own_geometry(family):
    detector = tiny_detector(family)
    encoder = detector.network.encoder
    encoding = encode(recording(9.0), detector)
    assert encoding.frames == tuple(encoder.n_frames(w.n_samples) for w in encoding.windows)
    assert (encoding.hop_s, encoding.start_s) == (encoder.hop_s, encoder.start_s)
    assert everything(encoding)[-1].shape == (encoder.n_layers, encoding.frames[-1], encoder.n_features)


def test_adapters_can_be_switched_off(detector):
    source = recording(5.0)
    on, off = everything(encode(source, detector)), everything(encode(source, detector, adapters=False))
    bare = everything(encode(source, tiny_detector(trained=False)))
    assert not torch.allclose(on[0][-1], off[0][-1], atol=1e-2)
    assert all(torch.equal(a, b) for a, b in zip(off, bare, strict=True))
    assert detector.network.adapters.enabled


def test_batch_size_changes_no_score(detector):
    """The score to 1e-4; a state to one rounding step of fp16."""
    source = recording(33.0)
    results = []
    for batch in (1, 3, 8, 64):
        encoding = encode(source, detector, batch=batch)
        with torch.inference_mode():
            scores = torch.cat([detector.network.analyse(s).clip_logit for _, s in encoding.batches()])
        results.append((everything(encoding), scores))
    for states, scores in results[1:]:
        torch.testing.assert_close(scores, results[0][1], atol=1e-4, rtol=0.0)
        for a, b in zip(states, results[0][0], strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=2**-10)


def test_the_same_twice_is_the_same_bits(detector):
    first, again = encode(recording(10.0), detector), encode(recording(10.0), detector, limits=ON_DISK)
    assert all(torch.equal(a, b) for a, b in zip(everything(first), everything(again), strict=True))


def test_batches_cover_every_window_in_order(detector):
    encoding = encode(recording(4.0 * 5 + 1.5), detector, batch=2)
    groups = [(list(indices), states.shape[0]) for indices, states in encoding.batches()]
    assert groups == [([0, 1], 2), ([2, 3], 2), ([4], 1), ([5], 1)]
    assert [list(indices) for indices, _ in encoding.batches(9)] == [[0, 1, 2, 3, 4], [5]]
    with pytest.raises(ValueError, match="differ in length"):
        encoding.batch(4, 6)
    for i0, i1 in ((0, 0), (-1, 1), (3, 7)):
        with pytest.raises(ValueError, match="no stretch"):
            encoding.batch(i0, i1)


def test_readers_get_their_own_copy(detector):
    encoding = encode(recording(4.0), detector)
    before = encoding.batch(0, 1)
    encoding.batch(0, 1).zero_()
    assert torch.equal(before, encoding.batch(0, 1)) and before.abs().sum() > 0


def test_two_threads_on_one_detector_get_what_each_gets_alone(detector):
    """One with adapters, one without: the switch is shared, so only the lock keeps them apart."""
    jobs = [(recording(30.0, seed=s), s % 2 == 0) for s in range(4)]
    alone = [everything(encode(source, detector, adapters=on, batch=1)) for source, on in jobs]
    together: list = [None] * len(jobs)

    def work(i: int) -> None:
        together[i] = everything(encode(jobs[i][0], detector, adapters=jobs[i][1], batch=1, limits=ON_DISK))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for a, b in zip(alone, together, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_two_threads_may_read_one_encoding_from_disk(detector):
    encoding = encode(recording(60.0), detector, limits=ON_DISK)
    expected, wrong = everything(encoding), []

    def read(seed: int) -> None:
        for i in np.random.default_rng(seed).integers(0, len(expected), 60):
            if not torch.equal(encoding.batch(i, i + 1)[0], expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_progress_rises_to_one_and_cancel_stops(detector):
    shares: list[float] = []
    encode(recording(21.0), detector, on_progress=shares.append, batch=2)
    assert shares == sorted(shares) and shares[-1] == 1.0 and len(shares) == 4
    shares.clear()
    with pytest.raises(Cancelled):
        encode(recording(21.0), detector, on_progress=shares.append, batch=2,
               cancelled=lambda: len(shares) == 2)
    assert len(shares) == 2
    assert detector.lock.acquire(timeout=1.0)
    detector.lock.release()


@pytest.mark.parametrize("n", [0, 1, 200, 319])
def test_less_than_a_frame_is_refused(detector, n):
    with pytest.raises(UnreadableAudio, match="too short") as caught:
        encode(recording(0.0, samples=np.zeros(n, np.float32)), detector)
    assert caught.value.code == "too-short"


def test_values_beyond_half_precision_are_clipped():
    detector = tiny_detector()
    with torch.no_grad():
        detector.network.encoder.layers[1].fc2.bias.fill_(1e6)
    states = everything(encode(recording(4.0), detector))[0]
    assert states.isfinite().all() and states[-1].max() == 65_504.0


def test_samples_may_be_a_memory_map(detector, tmp_path):
    source = recording(10.0)
    source.samples.tofile(tmp_path / "samples")
    mapped = recording(0.0, samples=np.memmap(tmp_path / "samples", np.float32, "r"))
    for a, b in zip(everything(encode(source, detector)), everything(encode(mapped, detector)), strict=True):
        assert torch.equal(a, b)


def test_a_long_recording_on_disk_takes_no_memory_of_its_own(detector):
    """numpy's allocations, which hold the store and the samples of a batch, don't grow with the length."""

    def peak(seconds: float, limits: Limits) -> tuple[int, int]:
        source = recording(seconds)
        tracemalloc.start()
        encoding = encode(source, detector, limits=limits)
        traced = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return traced, encoding.n_bytes

    (short, held_short), (long, held_long) = peak(64.0, ON_DISK), peak(640.0, ON_DISK)
    assert held_short == held_long == 0
    assert long < 1.1 * short < 6_000_000  # two batches of samples are 4 MB
    traced, held = peak(640.0, LIMITS)
    assert held == 160 * 200 * 3 * 32 * 2 < traced


def test_the_temporary_file_goes_with_the_encoding(detector):
    encoding = encode(recording(8.0), detector, limits=ON_DISK)
    if os.name == "posix":
        assert os.fstat(encoding._store._file.fileno()).st_nlink == 0  # no name that anyone else could open
    file = weakref.ref(encoding._store._file)
    del encoding
    gc.collect()
    assert file() is None
