"""Audio classifiers of transformers from a local folder: AST, wav2vec 2.0, HuBERT, WavLM heads.

Built from ``config.json`` and safetensors by ``models.classifiers``, which knows four classes and runs nothing that a
folder brings. A hub id is fetched only by ``fetch``, which a user asks for by name; loading never reaches out.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.detectors.card import FILE, Card, card_beside
from core.detectors.loading import Inspection, assemble, recorded, recorded_names, words_of
from core.errors import ModelUnavailable

if TYPE_CHECKING:
    import torch

    from core.detectors.clip import NetworkDetector

WINDOW_S = 4.0  # drafted where nothing is said
WANTED = ("config.json", "preprocessor_config.json", "*.safetensors", "*.safetensors.index.json", FILE)


def is_model_folder(path: Path) -> bool:
    """Whether this is a folder with a ``config.json``, or with pickled weights, to be told so by ``inspect``."""
    return path.is_dir() and ((path / "config.json").is_file() or any(path.glob("*.bin")))


def names() -> tuple[str, ...]:
    """Model folders that the user opened before."""
    return recorded_names(is_model_folder)


def recognises(name_or_path: str | Path) -> bool:
    """Whether this is a model folder, or the name of one opened before."""
    return recorded(name_or_path, is_model_folder) is not None


def inspect(path: Path) -> Inspection:
    """What the folder says about itself, without loading weights. Raises ModelUnavailable."""
    from models.classifiers import classifier_type, read_extractor, safe_config
    from models.encoder import EncoderUnavailable
    from models.families.pretrained import weight_files

    try:
        weights, kind = weight_files(path), classifier_type(path)
        config, extractor = safe_config(path), read_extractor(path)
    except EncoderUnavailable as problem:
        raise ModelUnavailable(str(problem)) from problem
    labels = tuple(str(config.id2label.get(i, "")) for i in range(int(config.num_labels)))
    files = (*weights, *(path / n for n in ("config.json", "preprocessor_config.json") if (path / n).is_file()))
    beside, rate = card_beside(path), _rate(extractor)
    if beside and beside.sample_rate_hz and rate and beside.sample_rate_hz != rate:
        raise ModelUnavailable(f"The card says {beside.sample_rate_hz} Hz and the feature extractor's own file {rate} "
                               "Hz; correct the card.")
    ast = kind.startswith("audio")
    seconds = (config.max_length * 160 + 240) / 16_000 if ast else WINDOW_S
    draft = Card(title=path.name, sample_rate_hz=rate or 16_000, crop="windows", crop_s=min(60.0, max(0.1, seconds)),
                 normalisation="feature-extractor")
    return Inspection(path, kind, files, len(labels), labels, draft, beside, words_of(labels),
                      _remarks(path, beside, extractor))


def _rate(extractor: dict[str, Any]) -> int | None:
    rate = extractor.get("sampling_rate")
    if rate is None:
        return None
    if isinstance(rate, bool) or not isinstance(rate, int) or not 4_000 <= rate <= 192_000:
        raise ModelUnavailable("The feature extractor's own file names a sample rate that makes no sense; correct it.")
    return rate


def _remarks(path: Path, beside: Card | None, extractor: dict[str, Any]) -> tuple[str, ...]:
    words = []
    if beside is None:
        words.append("No card lies beside it: rate, window and normalisation are drafted from its configuration.")
    if not extractor:
        words.append("Its folder has no preprocessor_config.json; the usual normalisation of its family is assumed.")
    if any(path.glob("*.py")):
        words.append("The folder holds program code, which is never run.")
    return tuple(words)


def load(name_or_path: str | Path, device: str = "auto", override: Card | None = None) -> NetworkDetector:
    """A classifier by its folder or remembered name. Raises ModelUnavailable."""
    path = recorded(name_or_path, is_model_folder)
    if path is None:
        raise ModelUnavailable(f"There is no model folder {str(name_or_path)[:200]!r}; give a local folder with "
                               "config.json and safetensors.")
    seen = inspect(path)

    def build(terms: Card, chosen: torch.device) -> Any:
        from models.classifiers import load_classifier
        from models.encoder import EncoderUnavailable

        try:
            return load_classifier(path, sample_rate_hz=terms.sample_rate_hz or 16_000,
                                   normalise=terms.normalisation or "feature-extractor").to(chosen)
        except EncoderUnavailable as problem:
            raise ModelUnavailable(str(problem)) from problem

    return assemble(seen, device, build, shortest=1_600, batch=2, override=override)


def fetch(hub_id: str, revision: str | None = None) -> Path:
    """Download configuration and safetensors of a hub id into the user's data folder, because the user asked to.

    Raises ModelUnavailable.
    """
    from core.detectors.store import home
    from models.families.pretrained import HUB_ID

    if not HUB_ID.fullmatch(hub_id):
        raise ModelUnavailable(f"{hub_id[:200]!r} is no hub id; it looks like owner/name.")
    from huggingface_hub import snapshot_download

    place = home() / "downloads" / hub_id.replace("/", "--")
    try:
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=list(WANTED), local_dir=place))
    except Exception as problem:  # the hub's client has many; the user needs one sentence
        raise ModelUnavailable(f"{hub_id} could not be downloaded ({type(problem).__name__}); check the name and the "
                               "connection, or give a local folder.") from problem
