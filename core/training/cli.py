"""The commands ``corpus``, ``train`` and ``evaluate``. Heavy modules are imported when a command runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from core.training import corpus_cli


def add_parsers(subparsers: argparse._SubParsersAction) -> None:
    """Register the three commands on the root parser's sub-parsers."""
    corpus_cli.add_parser(subparsers, _corpus)
    train = subparsers.add_parser("train", help="train the shipped detector on the whole corpus")
    _common(train)
    train.add_argument("--into", type=Path, required=True, metavar="DIR", help="model folder to write")
    train.add_argument("--seed", type=int, default=0)
    train.set_defaults(func=_train)
    evaluate = subparsers.add_parser("evaluate", help="leave-source-out evaluation; writes the model card")
    _common(evaluate)
    evaluate.add_argument("--into", type=Path, required=True, metavar="DIR", help="folder of the trained model")
    evaluate.add_argument("--seeds", type=int, default=1, help="seeds of the detector's own runs (default: 1)")
    evaluate.add_argument("--ablations", default="", metavar="LIST",
                          help="comma-separated: no-adapters, fine-tuned, mu-head, mean-head, no-augmentation, no-copies "
                               "(no-adapters:3 runs three seeds)")
    evaluate.add_argument("--robustness", type=int, default=0, metavar="N",
                          help="measure degradations on N held-out clips of each class (minutes; default: not at all)")
    evaluate.add_argument("--more", type=Path, metavar="DIR",
                          help="folder made by `corpus build --from more`: the panel is trained on it too")
    evaluate.add_argument("--aasist", type=Path, metavar="FILE",
                          help="published AASIST that the panel listens with, safetensors (default: the shipped)")
    evaluate.add_argument("--peers", type=Path, nargs="*", default=[], metavar="FILE",
                          help="published AASIST networks to measure on the same clips, safetensors")
    evaluate.set_defaults(func=_evaluate)


def _common(parser: argparse.ArgumentParser, encoder: bool = True) -> None:
    parser.add_argument("--corpus", type=Path, metavar="DIR",
                        help="folder with manifest.csv (default: the corpus beside the project)")
    parser.add_argument("--work", type=Path, default=Path("runs/corpus"), metavar="DIR",
                        help="working folder, resumable (default: runs/corpus)")
    parser.add_argument("--workers", type=int, default=2, help="processes that prepare, listen and train")
    if encoder:
        parser.add_argument("--encoder", type=Path, required=True, metavar="FILE",
                            help="safetensors of the Whisper tiny.en encoder")


def _blank_panel(path: Path | None):
    """An unfitted panel with this AASIST, or with that of the shipped panel. Raises InvalidOption."""
    from core.errors import InvalidOption
    from models.panel import load_panel, panel_with
    from models.registry import DEFAULT_MODEL, model_folder

    try:
        if path is None:
            return load_panel(model_folder(DEFAULT_MODEL) / "panel.safetensors").unfitted()
        from safetensors.torch import load_file

        return panel_with(load_file(path))
    except (OSError, ValueError) as problem:
        raise InvalidOption(f"There is no AASIST in {path or 'the shipped panel'}: {problem}.") from problem


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _prepared(options: argparse.Namespace) -> list:
    from core.training.corpus import load_prepared, prepare
    from core.training.sources_base import BESIDE

    options.corpus = options.corpus or BESIDE
    if (options.work / "clips.csv").is_file():
        return load_prepared(options.work)

    def progress(done: int, total: int) -> None:
        if done % 200 == 0 or done == total:
            _say(f"prepared {done} of {total} clips")

    return prepare(options.corpus, options.work, workers=options.workers, on_progress=progress)


def _steps(label: str):
    def report(step: int, steps: int, parts: dict) -> None:
        if step % 50 == 0 or step == steps:
            _say(f"{label}: step {step} of {steps}, loss {parts['loss']:.3f}")

    return report


def _corpus(options: argparse.Namespace) -> int:
    from core.training.corpus import read_manifest

    read_manifest(options.corpus)
    print(f"{len(_prepared(options))} clips ready in {options.work}")
    return 0


def _train(options: argparse.Namespace) -> int:
    from core.training.loop import Recipe, new_model, train
    from core.training.runs import fresh_encoder
    from models.finfoed import save_finfoed

    clips = _prepared(options)
    recipe = Recipe()
    encoder = fresh_encoder(options.encoder)
    model = new_model(encoder, "whisper", encoder.config, recipe, options.seed)
    report = train(model, options.work, clips, recipe, seed=options.seed, log=options.work / "train.csv",
                   on_step=_steps("training"))
    options.into.mkdir(parents=True, exist_ok=True)
    save_finfoed(model, options.into / "model.safetensors")
    print(f"trained f-InfoED in {report['wall_s']:.0f} s; wrote {options.into / 'model.safetensors'}; now run evaluate, "
          "which fits and measures the panel and writes the rest of the folder")
    return 0


def _ablations(text: str, known: list[str]) -> dict[str, int]:
    """``a,b:3`` -> how many seeds of each. Raises InvalidOption."""
    from core.errors import InvalidOption

    found = {}
    for part in filter(None, text.split(",")):
        name, _, seeds = part.partition(":")
        if name not in known:
            raise InvalidOption(f"Unknown ablation {name!r}; known are {', '.join(known)}.")
        if not (seeds or "1").isdecimal() or int(seeds or 1) < 1:
            raise InvalidOption(f"{part!r} names no number of seeds, as {name}:3 would.")
        found[name] = int(seeds or 1)
    return found


def _evaluate(options: argparse.Namespace) -> int:
    from core.errors import InvalidOption
    from core.training.evaluate import finish, make_card
    from core.training.loop import Recipe
    from core.training.panel import PanelRecipe
    from core.training.panel_card import evaluate_panel
    from core.training.runs import run_all, variants

    recipe = Recipe()
    known = variants(recipe)
    wanted = {"finfoed": options.seeds} | _ablations(options.ablations, list(known)[1:])
    if not (options.into / "model.safetensors").is_file():
        raise InvalidOption("There is no model.safetensors in --into: run `python -m core train` first.")
    clips = _prepared(options)
    run_all(options.work, clips, options.encoder, wanted, known, options.workers, _say)
    panel_recipe, blank = PanelRecipe(), _blank_panel(options.aasist)
    found, bank = evaluate_panel(clips, options.work, options.more, blank, panel_recipe, _say, options.workers)
    card, held, threshold = make_card(clips, options.work, options.encoder, recipe, wanted, found, _say)
    if options.peers:
        from core.training.peers import peer_rows

        originals = [c for c in clips if not c.copier]
        card["peers"] = peer_rows(options.peers, options.corpus, originals, options.work, _say)
    if options.robustness:
        from core.training.panel_robustness import FOLD, robustness_rows

        key = f"{panel_recipe!r} on {len(found.clips)} clips, traces {found.trace_limits.round(3).tolist()}"
        card["robustness"] = robustness_rows(options.work, clips, found.panels[FOLD], found.trace_limits, found.zero,
                                             options.robustness, key, _say)
    finish(options.into, options.work, options.corpus, clips, card, held, threshold, found, bank, panel_recipe)
    pooled, macro = (card["metrics"]["leave_source_out"][k] for k in ("eer_pooled", "eer_macro"))
    print(f"leave-source-out EER {100 * pooled['value']:.1f} % [{100 * pooled['low']:.1f}, {100 * pooled['high']:.1f}], "
          f"macro over systems {100 * macro['value']:.1f} %; card written to {options.into / 'card.json'}")
    return 0
