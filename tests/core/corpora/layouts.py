"""Small folders written in the formats of the published corpora: protocols as published, a few clips, no real audio."""

from __future__ import annotations

from pathlib import Path


def put(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def asvspoof2019_la(root: Path) -> None:
    protocols = root / "LA" / "ASVspoof2019_LA_cm_protocols"
    put(protocols / "ASVspoof2019.LA.cm.train.trn.txt",
        "LA_0079 LA_T_1138215 - - bonafide\nLA_0080 LA_T_1271820 - A01 spoof\n")
    put(protocols / "ASVspoof2019.LA.cm.dev.trl.txt", "LA_0069 LA_D_1047731 - A05 spoof\n")
    for part, name in (("train", "LA_T_1138215"), ("train", "LA_T_1271820"), ("dev", "LA_D_1047731")):
        put(root / "LA" / f"ASVspoof2019_LA_{part}" / "flac" / f"{name}.flac")


def asvspoof2019_pa(root: Path) -> None:
    put(root / "ASVspoof2019_PA_cm_protocols" / "ASVspoof2019.PA.cm.train.trn.txt",
        "PA_0079 PA_T_0000001 aaa - bonafide\nPA_0079 PA_T_0005401 aaa AA spoof\n")
    for name in ("PA_T_0000001", "PA_T_0005401"):
        put(root / "ASVspoof2019_PA_train" / "flac" / f"{name}.flac")


def asvspoof2021_la(root: Path) -> None:
    put(root / "keys" / "LA" / "CM" / "trial_metadata.txt",
        "LA_0009 LA_E_9332881 alaw ita_tx A07 spoof notrim eval\n"
        "LA_0020 LA_E_6866159 none - bonafide bonafide notrim progress\n")
    for name in ("LA_E_9332881", "LA_E_6866159"):
        put(root / "ASVspoof2021_LA_eval" / "flac" / f"{name}.flac")


def asvspoof2021_df(root: Path) -> None:
    put(root / "keys" / "DF" / "CM" / "trial_metadata.txt",
        "LA_0023 DF_E_2000011 nocodec asvspoof A14 spoof notrim progress traditional_vocoder - - - -\n"
        "TEF2 DF_E_2000013 low_m4a vcc2020 Task1-team20 spoof notrim eval neural_vocoder_nonautoregressive Task1 team20 "
        "FF E\n"
        "LA_0043 DF_E_2000026 mp3m4a asvspoof - bonafide notrim eval bonafide - - - -\n")
    for name in ("DF_E_2000011", "DF_E_2000013", "DF_E_2000026"):
        put(root / "ASVspoof2021_DF_eval" / "flac" / f"{name}.flac")


def asvspoof5(root: Path) -> None:
    put(root / "ASVspoof5_protocols" / "ASVspoof5.train.tsv",
        "T_4850 T_0000000000 F - - - AC3 A05 spoof -\nT_0001 T_0000000001 M - - - - bonafide bonafide -\n")
    put(root / "ASVspoof5_protocols" / "ASVspoof5.eval.track_1.tsv",
        "E_1607 E_0009538969 M C05 4 D_0003 - A24 spoof -\n")
    put(root / "ASVspoof5_protocols" / "ASVspoof5.eval.track_2.trial.tsv", "E_1 E_2 - spoof\n")
    for part, name in (("flac_T", "T_0000000000"), ("flac_T", "T_0000000001"), ("flac_E_eval", "E_0009538969")):
        put(root / part / f"{name}.flac")


def in_the_wild(root: Path) -> None:
    put(root / "meta.csv", "file,speaker,label\n0.wav,Ada Lovelace,spoof\n1.wav,\"Hopper, Grace\",bona-fide\n")
    put(root / "0.wav")
    put(root / "1.wav")


def mlaad(root: Path) -> None:
    model = root / "fake" / "de" / "tts_models_de_thorsten_vits"
    put(model / "meta.csv", "path|original_file|language|is_original_language|duration|training_data|model_name|"
        "architecture|transcript\n"
        "./fake/de/tts_models_de_thorsten_vits/a_01.wav|de_DE/a_01.wav|de|True|3.2|thorsten|tts_models/de/thorsten/vits|"
        "VITS|Er sagte: \"Nein.\n")
    put(model / "a_01.wav")
    put(root / "fake" / "cs" / "tts_models_cs_cv_vits" / "b_01.wav")


def wavefake(root: Path) -> None:
    put(root / "generated_audio" / "ljspeech_melgan" / "LJ001-0001_gen.wav")
    put(root / "generated_audio" / "jsut_parallel_wavegan" / "BASIC5000_0001_gen.wav")
    put(root / "generated_audio" / "common_voices_prompts_from_conformer_fastspeech2_pwg_ljspeech" / "gen_0.wav")
    put(root / "LJSpeech-1.1" / "wavs" / "LJ001-0001.wav")


def partialspoof(root: Path) -> None:
    base = root / "database"
    put(base / "protocols" / "PartialSpoof_LA_cm_protocols" / "PartialSpoof.LA.cm.train.trl.txt",
        "LA_0079 CON_T_0000029 - CON spoof\nLA_0079 LA_T_1138215 - - bonafide\n")
    put(base / "rttm" / "train.rttm",
        "SPEAKER CON_T_0000029 1 0.00 0.50 <NA> <NA> bonafide <NA> <NA>\n"
        "SPEAKER CON_T_0000029 1 0.50 0.75 <NA> <NA> spoof <NA> <NA>\n")
    for name in ("CON_T_0000029", "LA_T_1138215"):
        put(base / "train" / "con_wav" / f"{name}.wav")


def codecfake(root: Path) -> None:
    put(root / "label" / "train.txt", "SSB00050001.wav real 0\nF01_SSB00050001.wav fake 1\n")
    put(root / "train" / "SSB00050001.wav")
    put(root / "train" / "F01_SSB00050001.wav")


def librispeech(root: Path) -> None:
    chapter = root / "LibriSpeech" / "dev-clean" / "84" / "121123"
    put(chapter / "84-121123.trans.txt", "84-121123-0000 GO DO YOU HEAR\n84-121123-0001 BUT IN LESS THAN FIVE MINUTES\n")
    put(chapter / "84-121123-0000.flac")
    put(chapter / "84-121123-0001.flac")


def vctk(root: Path) -> None:
    for name in ("p225_001_mic1", "p225_001_mic2", "p225_002_mic1"):
        put(root / "wav48_silence_trimmed" / "p225" / f"{name}.flac")


def common_voice(root: Path) -> None:
    base = root / "cv-corpus-17.0" / "cy"
    header = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccents\tlocale\tsegment\n"
    put(base / "train.tsv", header + "abc\tcommon_voice_cy_1.mp3\tDywedodd \"ie.\t2\t0\t\t\t\tcy\t\n")
    put(base / "validated.tsv", header + "abc\tcommon_voice_cy_1.mp3\tDywedodd \"ie.\t2\t0\t\t\t\tcy\t\n")
    put(base / "clips" / "common_voice_cy_1.mp3")


WRITERS = {
    "asvspoof2019-la": asvspoof2019_la, "asvspoof2019-pa": asvspoof2019_pa, "asvspoof2021-la": asvspoof2021_la,
    "asvspoof2021-df": asvspoof2021_df, "asvspoof5": asvspoof5, "in-the-wild": in_the_wild, "mlaad": mlaad,
    "wavefake": wavefake, "partialspoof": partialspoof, "codecfake": codecfake, "librispeech": librispeech, "vctk": vctk,
    "common-voice": common_voice,
}
