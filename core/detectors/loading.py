"""What the families that users bring share: from files to a detector with its card, polarity and calibration."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.detectors import store
from core.detectors.card import Card
from core.detectors.clip import NetworkDetector
from core.detectors.labelled import LabelledClip, Scored, score_clips, thinned
from core.detectors.polarity import LEAST, MOST, Polarity, bundled_clips, verdict
from core.errors import ModelUnavailable

if TYPE_CHECKING:
    import torch

NETWORKS_KEPT = 3  # of the large ones a process shouldn't hold more
_networks: OrderedDict[tuple, tuple[Any, threading.RLock]] = OrderedDict()
_lock = threading.RLock()


@dataclass(frozen=True)
class Inspection:
    """What can be told from files without running them.

    draft: what their configuration suggests, without an index; beside: the card that lies with them; suggested_bonafide:
    the logit that labels or a published convention call bona fide, which is no evidence; remarks: plain sentences.
    """

    path: Path
    family: str
    files: tuple[Path, ...]
    n_logits: int
    labels: tuple[str, ...]
    draft: Card
    beside: Card | None
    suggested_bonafide: int | None
    remarks: tuple[str, ...] = ()

    @property
    def files_sha256(self) -> str:
        return store.files_sha256(self.files)

    @property
    def terms(self) -> Card:
        """The card in force: the draft, what lies beside the weights over it, what the user said over both."""
        user = store.read_card(self.files_sha256)
        card = self.draft if self.beside is None else self.draft.merged(self.beside)
        return card if user is None else card.merged(user)


def assemble(seen: Inspection, device: str, build: Callable[[Card, torch.device], Any], *, shortest: int, batch: int,
             override: Card | None = None) -> NetworkDetector:
    """A detector from inspected files. ``build(terms, device)`` makes the network, once for the same terms.

    Raises ModelUnavailable.
    """
    from models.registry import DetectorUnavailable, choose_device

    terms = seen.terms if override is None else seen.terms.merged(override)
    terms.bona_fide_logit(seen.n_logits)  # a contradiction shows before an hour of loading
    try:
        chosen = choose_device(device)
    except DetectorUnavailable as problem:
        raise ModelUnavailable(str(problem.args[0])) from problem
    network, lock = _network(seen, terms, chosen, build)
    record = next((r for r in store.records() if r.files_sha256 == seen.files_sha256), None)
    name = record.name if record else seen.path.name.removesuffix(".safetensors")
    detector = NetworkDetector(name, seen.path, seen.family, network, seen.n_logits, terms, chosen, seen.files_sha256,
                               remarks=seen.remarks, shortest=shortest, batch=batch, lock=lock)
    return with_what_is_known(detector)


def with_what_is_known(detector: NetworkDetector) -> NetworkDetector:
    """Fill in polarity and calibration that were kept for these files and this card."""
    digest, scoring = detector.files_sha256, detector.scoring_sha256
    detector.polarity = Polarity.from_json(store.read_checked(digest, "polarity.json", scoring))
    kept = store.read_calibration(digest, scoring)
    detector.calibration, detector.calibration_sha256 = kept if kept else (None, "")
    detector.measured = store.read_checked(digest, "measured.json", scoring) if kept else None
    return detector


def _network(seen: Inspection, terms: Card, device: torch.device,
             build: Callable[[Card, torch.device], Any]) -> tuple[Any, threading.RLock]:
    key = (seen.files_sha256, str(device), terms.sample_rate_hz, terms.normalisation, terms.pool_ratios,
           terms.temperatures)
    with _lock:
        if key not in _networks:
            _networks[key] = (build(terms, device), threading.RLock())
            while len(_networks) > NETWORKS_KEPT:
                _networks.popitem(last=False)
        _networks.move_to_end(key)
        return _networks[key]


def recorded(name_or_path: str | Path, family: Callable[[Path], bool]) -> Path | None:
    """The path of a remembered name, or the path itself, where ``family`` says that it is one of its own."""
    record = next((r for r in store.records() if r.name == str(name_or_path)), None)
    path = record.path if record else Path(name_or_path).expanduser()
    try:
        return path.resolve() if family(path) else None
    except (OSError, ValueError, RuntimeError):
        return None


def recorded_names(family: Callable[[Path], bool]) -> tuple[str, ...]:
    """Names of remembered detectors that are still there and belong to a family."""
    return tuple(r.name for r in store.records() if recorded(r.name, family) is not None)


@dataclass(frozen=True)
class Told:
    """A verdict, the index that the clips settle where no card names one, and whether the scores turn round by it."""

    polarity: Polarity
    index: Card
    turned: bool = False


def require_complete(detector: NetworkDetector) -> None:
    """Raises ModelUnavailable where the card lacks what a score depends on."""
    missing = detector.terms.missing(detector.n_logits)
    if missing:
        raise ModelUnavailable(f"The card of {detector.name} doesn't say: {', '.join(missing)}; complete it first.")


def judge(detector: NetworkDetector, scored: Scored, clips: str) -> Told:
    """What labelled scores tell of a detector's polarity. Nothing is kept."""
    if detector.terms.bona_fide_logit(detector.n_logits) is not None:
        return Told(verdict(scored, stated=True, clips=clips), Card())
    found = verdict(scored, stated=False, clips=clips)
    if found.state == "untold":
        return Told(found, Card())
    last, turned = detector.n_logits - 1, found.auc < 0.5
    value, low, high = (1 - found.auc, 1 - found.high, 1 - found.low) if turned else (found.auc, found.low, found.high)
    words = (f"The known clips settle it: logit {last} follows {'spoof' if turned else 'bona fide speech'}; with that, "
             f"bona fide clips score higher in {value:.0%} of pairs [{low:.0%}, {high:.0%}] ({found.n_bonafide} bona "
             f"fide, {found.n_spoof} spoofed clips).")
    polarity = Polarity("verified", value, low, high, found.p_value, found.n_bonafide, found.n_spoof, words, clips)
    return Told(polarity, Card(spoof_index=last) if turned else Card(bonafide_index=last), turned)


def settle(detector: NetworkDetector, told: Told, own: Card | None = None) -> NetworkDetector:
    """Keep a verdict, the index it settles and what the user said of the card (``own``) in the data folder.

    A check on too few clips doesn't undo an earlier verdict on enough. Raises ModelUnavailable.
    """
    digest = detector.files_sha256
    mine = (store.read_card(digest) or Card()).merged(own or Card()).merged(told.index)
    detector.terms = detector.terms.merged(mine)
    detector.name = store.remember(detector.path, digest).name
    store.write_card(digest, mine)
    before = Polarity.from_json(store.read_checked(digest, "polarity.json", detector.scoring_sha256))
    too_few = min(told.polarity.n_bonafide, told.polarity.n_spoof) < LEAST
    if before is None or not too_few:
        store.write_checked(digest, "polarity.json", detector.scoring_sha256, told.polarity.to_json())
    return with_what_is_known(detector)


def check(detector: NetworkDetector, clips: Sequence[LabelledClip] = (), *, own: Card | None = None, most: int = MOST,
          on_progress: Callable[[float], Any] | None = None,
          cancelled: Callable[[], bool] | None = None) -> tuple[NetworkDetector, Polarity]:
    """The polarity check by itself, on the given clips or, without any, on the bundled examples; its verdict is kept.

    Raises Cancelled, ModelUnavailable.
    """
    require_complete(detector)
    chosen = thinned(clips, most) if clips else bundled_clips()
    scored = score_clips(detector, chosen, on_progress=on_progress, cancelled=cancelled)
    told = judge(detector, scored, "a labelled folder" if clips else "the bundled examples")
    return settle(detector, told, own), told.polarity


def forget_networks() -> None:
    """Let go of all loaded networks (tests)."""
    with _lock:
        _networks.clear()


def words_of(labels: Sequence[str]) -> int | None:
    """The logit whose label reads like bona fide while all others read like spoof; None where that isn't so."""
    good = ("bonafide", "bona-fide", "bona_fide", "bona fide", "real", "human", "genuine", "authentic")
    bad = ("spoof", "fake", "synthetic", "ai", "deepfake", "generated", "aivoice")
    kinds = [[any(w == t or t.startswith(w) for w in words for t in [label.lower().strip()]) for words in (good, bad)]
             for label in labels]
    reals = [i for i, (real, fake) in enumerate(kinds) if real and not fake]
    return reals[0] if len(reals) == 1 and all(fake for i, (_, fake) in enumerate(kinds) if i != reals[0]) else None
