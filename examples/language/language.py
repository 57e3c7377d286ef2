"""One device, many languages: intents, requests that are of none, phrases across languages; a table and a picture.

Run it with `make language`. The encoder is the published one; nothing is trained. Intents are those of CLINC150
(`--intents FOLDER`), half of them to calibrate the bundle on and half to enroll; phrases are our own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from edgefew_runtime import Classifier, head
from edgefew_runtime.episode_accuracy import evaluate
from edgefew_runtime.episodes import EpisodeSampler

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from examples.language.table import table  # noqa: E402
from examples.language.translator import Translator  # noqa: E402

SEED = 0
EPISODES = 600
SHOTS = 5
RATE = 0.05
PROOF_TEXTS = 30
PHRASES = json.loads(Path(__file__).with_name("phrases.json").read_text(encoding="utf-8"))

Embedded = npt.NDArray[np.float32]


def main() -> None:
    """Do everything, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "language")
    parser.add_argument("--intents", type=Path, default=ROOT.parent / "shared" / "data" / "intents")
    parser.add_argument("--figures", type=Path, help="Where the figures go, beside OUT.")
    parser.add_argument("--picture", type=Path, help="Where the picture goes, beside OUT.")
    options = parser.parse_args()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    intents = read_intents(options.intents)
    if intents is None:
        print(f"no clinc150_full.json in {options.intents}: intents are left out. Give --intents FOLDER.")
    result: dict[str, Any] = {"seed": SEED, "rate": RATE}
    bundle = phrase_bundle = out / "sentences.edgefew"
    export(bundle, intents)
    if intents is not None:
        phrase_bundle = out / "phrases.edgefew"
        export(phrase_bundle, intents, every=True)
    with Classifier.open(bundle, false_accept_rate=RATE) as classifier:
        if intents is not None:
            result["intents"] = few_intents(intents, classifier)
            result["out_of_scope"] = out_of_scope(intents, bundle)
        result["phrases"] = phrases(phrase_bundle, calibrated=intents is not None)
        result["languages"] = noticed(classifier)
    show_translator(phrase_bundle)
    result["minutes"] = round((time.monotonic() - started) / 60, 1)
    for file in filter(None, (out / "figures.json", options.figures)):
        file.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    from examples.language.picture import draw

    for file in filter(None, (out / "language.png", options.picture)):
        draw(result, file)
    print("\n" + table(result))


def read_intents(folder: Path) -> dict[str, Any] | None:
    """CLINC150, from the file or the archive that holds it; None where neither is there."""
    import zipfile

    found = sorted(folder.rglob("clinc150_full.json")) if folder.is_dir() else []
    if found:
        read: dict[str, Any] = json.loads(found[0].read_text(encoding="utf-8"))
        return read
    for archive in sorted(folder.glob("*.zip")) if folder.is_dir() else []:
        with zipfile.ZipFile(archive) as opened:
            for name in opened.namelist():
                if name.endswith("clinc150_full.json"):
                    packed: dict[str, Any] = json.loads(opened.read(name))
                    return packed
    return None


def halves(intents: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Intents to calibrate on, and intents to enroll."""
    names = sorted({label for _, label in intents["train"]})
    order = np.random.default_rng(SEED).permutation(len(names))
    half = len(names) // 2
    return [names[i] for i in order[:half]], [names[i] for i in order[half:]]


def of(intents: dict[str, Any], part: str, label: str) -> list[str]:
    """The sentences of an intent."""
    return [text for text, own in intents[part] if own == label]


def export(bundle: Path, intents: dict[str, Any] | None, *, every: bool = False) -> None:
    """Make the bundle, proved and calibrated on the first half of the intents; on the phrases where there are none.

    Its embeddings are centred on requests that are of no intent, so that what all sentences share counts for nothing.

    Args:
        bundle: where it goes.
        intents: CLINC150, if it is there.
        every: calibrate on all intents, where none of them will be enrolled.
    """
    proof, requests = bundle.with_suffix(".proof"), bundle.with_suffix(".requests")
    command = [Path(sys.executable).with_name("edgefew"), "export", "sentence_encoder", bundle, "--data", proof]
    if intents is None:
        texts_of(proof, {name: [*p["enroll"], *p["de"], *p["fr"]] for name, p in PHRASES["phrases"].items()})
    else:
        calibration, enrolled = halves(intents)
        names = calibration + enrolled * every
        texts_of(proof, {name: of(intents, "train", name)[:PROOF_TEXTS] for name in names})
        texts_of(requests, {"of no intent": [text for text, _ in intents["oos_val"]]})
        command += ["--project", "centre", "--project-data", requests]
    subprocess.run([*map(str, command), "--replace"], check=True)


def texts_of(folder: Path, groups: Mapping[str, Sequence[str]]) -> None:
    """Sentences as a labelled folder: a file each."""
    for name, texts in groups.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number, text in enumerate(texts):
            (folder / name / f"{number:02}.txt").write_text(text, encoding="utf-8")


def few_intents(intents: dict[str, Any], classifier: Classifier) -> list[dict[str, Any]]:
    """Episodes among the intents that the bundle was not calibrated on, beside words alone."""
    names = halves(intents)[1]
    texts = [text for name in names for text in of(intents, "test", name)]
    labels = np.repeat(np.arange(len(names)), [len(of(intents, "test", name)) for name in names])
    embedders: dict[str, Embedded] = {"encoder": classifier.embed(texts), "words": words(texts)}
    rows = []
    for way, shot in ((5, 1), (5, 5), (len(names), SHOTS)):
        sampler = EpisodeSampler(labels, way=way, shot=shot, query=5, seed=SEED)
        row: dict[str, Any] = {"way": way, "shot": shot}
        for name, rows_of in embedders.items():
            found = evaluate(rows_of, sampler, EPISODES)
            row[name] = {"accuracy": round(found.accuracy, 4), "ci95": round(found.ci95 or 0, 4)}
        rows.append(row)
    return rows


def words(texts: Sequence[str]) -> Embedded:
    """What is known without an encoder: which words a text has, hashed into 4096 places and of unit length."""
    import zlib

    rows = np.zeros((len(texts), 4096), np.float32)
    for row, text in zip(rows, texts, strict=True):
        for word in text.lower().split():
            row[zlib.crc32(word.encode()) % 4096] += 1
    return head.unit(rows)


def out_of_scope(intents: dict[str, Any], bundle: Path) -> dict[str, Any]:
    """Enroll half of the intents from five sentences; ask their test sentences, and requests that are of no intent."""
    names = halves(intents)[1]
    asked = [(text, name) for name in names for text in of(intents, "test", name)]
    outside = [text for text, _ in intents["oos_test"]]
    told: dict[str, Any] = {"classes": len(names), "shots": SHOTS}
    with Classifier.open(bundle, false_accept_rate=RATE) as classifier:
        for name in names:
            classifier.enroll(name, of(intents, "train", name)[:SHOTS])
        for who, given in (("bundle", []), ("site", [text for text, _ in intents["oos_train"]])):
            if given:
                classifier.calibrate(given)
            promised = classifier.promise()
            answers = classifier.classify_many([text for text, _ in asked])
            pairs = list(zip(answers, (name for _, name in asked), strict=True))
            told[who] = {
                "threshold": None if promised is None else promised.threshold,
                "strangers": len(given),
                "right": wilson(a.known and a.label == name for a, name in pairs),
                "wrong": wilson(a.known and a.label != name for a, name in pairs),
                "accepted": wilson(a.known for a in classifier.classify_many(outside)),
            }
            if promised is not None and promised.threshold is None:
                told[who]["reason"] = promised.reason
    return told


def phrases(bundle: Path, *, calibrated: bool) -> dict[str, Any]:
    """Enroll phrases from three English sentences; ask them in the other languages, and sentences that are none."""
    told: dict[str, Any] = {}
    with Classifier.open(bundle, false_accept_rate=RATE if calibrated else None) as classifier:
        for phrase, sentences in PHRASES["phrases"].items():
            classifier.enroll(phrase, sentences["enroll"])
        for language, name in PHRASES["languages"].items():
            if language == "en":
                continue
            right = []
            for phrase, sentences in PHRASES["phrases"].items():
                right += [(phrase, classifier.classify(text)) for text in sentences[language]]
            strangers = [classifier.classify(text).known for text in PHRASES["none of these"][language]]
            told[name] = {
                "nearest": wilson(a.label == phrase for phrase, a in right),
                "right": wilson(a.known and a.label == phrase for phrase, a in right),
                "strangers_accepted": wilson(strangers),
            }
    everything = {key: [one[key] for one in told.values()] for key in ("nearest", "right", "strangers_accepted")}
    told["all"] = {key: pooled(parts) for key, parts in everything.items()}
    return told


def noticed(classifier: Classifier) -> dict[str, Any]:
    """How often a language is suspected to be none that the encoder knows."""
    spec = classifier.bundle.manifest.input

    def suspected(texts: Iterable[str]) -> dict[str, Any]:
        return wilson(bool(getattr(spec.quality(spec.load(text).values), "foreign", False)) for text in texts)

    known = {
        name: suspected(
            [t for p in PHRASES["phrases"].values() for t in p["enroll" if language == "en" else language]]
            + PHRASES["none of these"][language]
        )
        for language, name in PHRASES["languages"].items()
    }
    others = {name: suspected(texts) for name, texts in PHRASES["other languages"].items()}
    return {
        "known": known,
        "others": others,
        "known_all": pooled(list(known.values())),
        "others_all": pooled(list(others.values())),
    }


def show_translator(bundle: Path, say: Callable[[str], None] = print) -> None:
    """Say what the translator makes of a few sentences, before and after it is taught a phrase."""
    texts = {
        phrase: {k: v[0] for k, v in s.items() if k != "enroll"} | {"en": s["enroll"][0]}
        for phrase, s in PHRASES["phrases"].items()
    }
    with Classifier.open(bundle, false_accept_rate=0.2) as classifier:
        translator = Translator(classifier, texts)
        for phrase, sentences in PHRASES["phrases"].items():
            translator.teach(phrase, sentences["enroll"])

        def shown(sentence: str, to: str) -> None:
            said = translator.translate(sentence, to)
            strange = "  (a language that the encoder does not know?)" * said.strange_language
            say(f"  {sentence}  →  {to}: {said.text or 'unknown'}{strange}")

        say("\nthe phrase translator, taught with three English sentences a phrase:")
        for sentence, to in (
            ("wo ist der Bahnhof", "fr"),
            ("今何時ですか", "de"),
            ("necesito un médico", "tr"),
            ("hol van a vasútállomás", "en"),
            ("où sont les toilettes", "en"),
        ):
            shown(sentence, to)
        say("taught on the device: where are the toilets")
        translator.teach(
            "toilets",
            ["where are the toilets", "I need a restroom"],
            {"en": "where are the toilets", "de": "wo sind die Toiletten"},
        )
        shown("où sont les toilettes", "en")
        say("taught on the device: Hungarian for the station")
        # A class of its own: in a language that the encoder does not know, sentences lie far from the English ones.
        hungarian = ["hol van a vasútállomás", "merre van a pályaudvar"]
        translator.teach("where is the station, Hungarian", hungarian, texts["where is the station"])
        shown("hol van itt a vasútállomás", "en")


def wilson(outcomes: Iterable[bool]) -> dict[str, Any]:
    """A share with its 95 % interval (Wilson 1927)."""
    seen = [bool(outcome) for outcome in outcomes]
    return _interval(sum(seen), len(seen))


def pooled(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The share over all parts."""
    return _interval(sum(part["hits"] for part in parts), sum(part["of"] for part in parts))


def _interval(hits: int, of_all: int) -> dict[str, Any]:
    z = 1.96
    share = hits / of_all
    middle = (share + z * z / (2 * of_all)) / (1 + z * z / of_all)
    half = z / (1 + z * z / of_all) * (share * (1 - share) / of_all + z * z / (4 * of_all**2)) ** 0.5
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return {"mean": round(share, 4), "low": round(low, 4), "high": round(high, 4), "hits": hits, "of": of_all}


if __name__ == "__main__":
    main()
