"""What several tests share: drawings made here, and one backbone trained and exported once a session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from edgefew_runtime.commands import edgefew
from PIL import Image, ImageDraw

from tests.signals import SAMPLES, make_folder
from tests.sounds import RATE
from tests.sounds import make_folder as make_sound_folder
from tests.texts import make_folder as make_text_folder
from tests.texts import sentencepiece_model, tensors

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"
SOURCE_PATTERN = r"^(\w+)-"

Cli = Callable[..., Result]


def draw_class(kind: int, source: int, take: int, size: int = 32) -> Image.Image:
    """A closed figure that is the class's own, in the line width and tilt of its source, placed anew for each take."""
    shape = np.random.default_rng([7, kind]).uniform(-0.42, 0.42, (5, 2))
    rng = np.random.default_rng([9, kind, source, take])
    tilt = 0.12 * (source - 1)
    turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    points = (shape @ turn.T + 0.5 + rng.uniform(-0.04, 0.04, 2)) * size
    image = Image.new("RGB", (size, size), "white")
    ImageDraw.Draw(image).line([*map(tuple, points), tuple(points[0])], fill="black", width=2 + source)
    return image


def draw_folder(root: Path, kinds: range, sources: int = 3, takes: int = 2) -> Path:
    for kind in kinds:
        folder = root / f"figure{kind:02}"
        folder.mkdir(parents=True)
        for source in range(sources):
            for take in range(takes):
                draw_class(kind, source, take).save(folder / f"hand{source}-{take}.png")
    return root


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEFEW_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def training_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_folder(tmp_path_factory.mktemp("training") / "figures", range(100, 140), takes=4)


@pytest.fixture(scope="session")
def unseen_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_folder(tmp_path_factory.mktemp("unseen") / "figures", range(50, 60))


@pytest.fixture(scope="session")
def checkpoint(training_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("checkpoint") / "figures.ckpt"
    arguments = ["train", str(training_folder), "--out", str(out), "--channels", "1", "--image-size", "16"]
    budget = ["--way", "8", "--episodes", "60", "--source-pattern", SOURCE_PATTERN, "--device", "cpu"]
    result = CliRunner().invoke(edgefew, arguments + budget)
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="session")
def bundle(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Calibrated on enough classes to promise a false-accept rate of 5 %."""
    out = tmp_path_factory.mktemp("bundle") / "figures.edgefew"
    folder = draw_folder(tmp_path_factory.mktemp("calibration") / "figures", range(200, 280), takes=1)
    data = ["--data", str(folder), "--source-pattern", SOURCE_PATTERN]
    result = CliRunner().invoke(edgefew, ["export", str(checkpoint), str(out), *data])
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture
def cli() -> Cli:
    """Run the command in this process."""

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(edgefew, [str(a) for a in arguments])

    return run


@pytest.fixture
def gallery_path(tmp_path: Path) -> Path:
    return tmp_path / "site.gallery"


@pytest.fixture(scope="session")
def signal_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_folder(tmp_path_factory.mktemp("signal-training") / "waves", range(100, 130), takes=3)
    out = tmp_path_factory.mktemp("signal-checkpoint") / "waves.ckpt"
    budget = ["--way", "8", "--episodes", "60", "--source-pattern", SOURCE_PATTERN, "--device", "cpu"]
    options = ["--samples", str(SAMPLES), "--seconds", "0.5"]
    result = CliRunner().invoke(edgefew, ["train", str(folder), "--out", str(out), *options, *budget])
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="session")
def signal_bundle(signal_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of windows of 64 samples and 2 channels; calibrated on classes enough to promise a rate of 5 %."""
    out = tmp_path_factory.mktemp("signal-bundle") / "waves.edgefew"
    folder = make_folder(tmp_path_factory.mktemp("signal-calibration") / "waves", range(200, 280), takes=1)
    data = ["--data", str(folder), "--source-pattern", SOURCE_PATTERN]
    result = CliRunner().invoke(edgefew, ["export", str(signal_checkpoint), str(out), *data])
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="session")
def sound_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("soundfile", reason="soundfile is not installed (extra audio)")
    folder = make_sound_folder(tmp_path_factory.mktemp("sound-training") / "tunes", range(100, 130), takes=3)
    out = tmp_path_factory.mktemp("sound-checkpoint") / "tunes.ckpt"
    budget = ["--way", "8", "--episodes", "60", "--source-pattern", SOURCE_PATTERN, "--device", "cpu"]
    options = ["--rate", str(RATE), "--seconds", "0.5"]
    result = CliRunner().invoke(edgefew, ["train", str(folder), "--out", str(out), *options, *budget])
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="session")
def sound_bundle(sound_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of half a second at 8 kHz; calibrated on enough classes to promise a false-accept rate of 5 %."""
    out = tmp_path_factory.mktemp("sound-bundle") / "tunes.edgefew"
    folder = make_sound_folder(tmp_path_factory.mktemp("sound-calibration") / "tunes", range(200, 280), takes=1)
    data = ["--data", str(folder), "--source-pattern", SOURCE_PATTERN]
    result = CliRunner().invoke(edgefew, ["export", str(sound_checkpoint), str(out), *data])
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="session")
def text_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an untrained encoder of invented words; on enough classes to promise a false-accept rate of 5 %."""
    pytest.importorskip("tokenizers", reason="tokenizers is not installed (extra text)")
    import torch
    from edgefew_export.backbones.sentence_encoder import SentenceEncoder
    from edgefew_export.bundle_writer import export_bundle
    from edgefew_export.labelled_folder import read_labelled_folder
    from edgefew_export.sentencepiece import tokenizer_file
    from edgefew_export.sources.source import text_source
    from edgefew_runtime import InputSpec
    from edgefew_runtime.bundle import TOKENIZER_FILE

    network = SentenceEncoder({name: torch.from_numpy(array) for name, array in tensors().items()}, 1e-6).eval()
    spec = InputSpec.text(12, len(network.table), 0)
    source = text_source(network, spec, {TOKENIZER_FILE: tokenizer_file(sentencepiece_model())}, {"source": "tests"})
    folder = make_text_folder(tmp_path_factory.mktemp("text-calibration") / "texts", range(200, 280), takes=4)
    out = tmp_path_factory.mktemp("text-bundle") / "texts.edgefew"
    export_bundle(source, out, data=read_labelled_folder(folder))
    return out
