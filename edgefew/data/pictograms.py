"""Pictograms: the built-in data, drawn by six independent design families.

A class is a concept ("camera", "heart"); an example is one family's drawing of it. Training and testing
across families asks what EdgeFew is for: recognise the *thing* from one drawing of it, in another hand.

The drawings are the glyphs of the icon fonts that the package ``qtawesome`` ships. Only its font files and
character maps are read; it is not imported (that would pull in Qt). Fonts of six more families, to train on, come
with the packages ``tkinter-icons-*``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import numpy.typing as npt
from edgefew_runtime import DataError
from PIL import Image, ImageDraw, ImageFont, ImageOps

IMAGE_SIZE = 64
"""Pixels a side of one drawing: black on white."""

GLYPH_SHARE = 0.8
"""The longer side of a drawing's ink fills this share of the image."""

SOURCE_PATTERN = r"^(?P<source>[a-z]+)\."
"""Gives the design family of a file that `render` wrote, for `--source-pattern`."""

TEST_SHARE = 5
"""One in this many concepts is a test concept."""

LOOKS_ALIKE = 0.93
"""Drawings whose ink correlates more than this, at `_LOOK` pixels a side, are taken to show one thing."""

_LOOK = 24


@dataclass(frozen=True)
class Font:
    """A font file of an installed package, and what its glyphs are called.

    Attributes:
        tag: stands for it in the names of the drawings: a family may hold "camera" twice.
        package: its distribution.
        file: a pattern that the end of its path in the package matches.
        names: likewise of the JSON file with the code point of each glyph.
        glyph: a regular expression that glyphs' names match, with what is drawn as its group; others are left out.
    """

    tag: str
    package: str
    file: str
    names: str
    glyph: str = "(.+)"


@dataclass(frozen=True)
class Family:
    """One design family: fonts drawn by the same people in the same style.

    Two releases of one family (Font Awesome 5 and 6) redraw the same picture. They count as one source: were they two,
    support and query would share a drawing and the accuracy would lie.
    """

    name: str
    fonts: tuple[Font, ...]
    licence: str
    credit: str


def _of_qtawesome(stem: str) -> Font:
    return Font(stem.removesuffix("-webfont"), "qtawesome", f"{stem}-[0-9]*.ttf", f"{stem}-charmap-*.json")


def _of_tkinter_icons(short: str, file: str, names: str = "glyphmap", glyph: str = "(.+)") -> Font:
    return Font(Path(file).stem.lower(), f"tkinter-icons-{short}", file, f"{names}.json", glyph)


FAMILIES = (
    Family("codicon", (_of_qtawesome("codicon"),), "CC BY 4.0", "Codicons, Microsoft"),
    Family("elusive", (_of_qtawesome("elusiveicons-webfont"),), "SIL OFL 1.1", "Elusive Icons, Team Redux"),
    Family(
        "fontawesome",
        tuple(_of_qtawesome(f"fontawesome{n}-{style}-webfont") for n in (6, 5) for style in ("solid", "regular")),
        "SIL OFL 1.1",
        "Font Awesome Free, Fonticons Inc.",
    ),
    Family(
        "material",
        (_of_qtawesome("materialdesignicons6-webfont"), _of_qtawesome("materialdesignicons5-webfont")),
        "Apache-2.0",
        "Material Design Icons, Pictogrammers",
    ),
    Family("phosphor", (_of_qtawesome("phosphor"),), "MIT", "Phosphor Icons"),
    Family("remix", (_of_qtawesome("remixicon"),), "Apache-2.0", "Remix Icon, Remix Design"),
)
"""Those that results are told of: the built-in data."""

MORE_FAMILIES = (
    Family("bootstrap", (_of_tkinter_icons("bs", "bootstrap.ttf"),), "MIT", "Bootstrap Icons, Twitter"),
    Family("eva", (_of_tkinter_icons("eva", "eva-icons.ttf", glyph="(?:eva-)?(.+)"),), "MIT", "Eva Icons, Akveo"),
    Family(
        "fluent",
        tuple(
            _of_tkinter_icons(
                "fluent",
                f"FluentSystemIcons-{style.title()}.ttf",
                f"glyphmap-{style}",
                glyph=f"ic-fluent-(.+)-20-{style}",  # of the sizes that each is drawn for, the one that most have
            )
            for style in ("regular", "filled")
        ),
        "MIT",
        "Fluent System Icons, Microsoft",
    ),
    Family(
        "ionicons",
        (_of_tkinter_icons("ion", "ionicons.ttf", glyph="(?:ion-)?(?:ios-|android-)?(?!social-|logo-)(.+)"),),
        "MIT",
        "Ionicons, Ionic",
    ),
    Family("lucide", (_of_tkinter_icons("lucide", "lucide.ttf", glyph="icon-(.+)"),), "ISC", "Lucide and Feather"),
    # No family of their own: those of Pictogrammers began with these.
    Family(
        "material",
        (
            _of_tkinter_icons("gmi", "MaterialIcons-Regular.ttf", "glyphmap-baseline"),
            _of_tkinter_icons("gmi", "MaterialIconsOutlined-Regular.otf", "glyphmap-outlined"),
        ),
        "Apache-2.0",
        "Material Icons, Google",
    ),
    Family(
        "typicons",
        (_of_tkinter_icons("typicons", "typicons.ttf", glyph="(?:typcn-)?(?!social-)(.+)"),),
        "SIL OFL 1.1",
        "Typicons, Stephen Hutchings",
    ),
)
"""Further ones to train on."""

BRAND_FONTS = ("fontawesome6-brands-webfont", "fontawesome5-brands-webfont")
"""Their names tell which concepts are logos. A logo is the same artwork in every family, not drawn independently."""

_STYLE = re.compile(r"(?:-(?:alt|bold|duotone|fill|filled|light|line|outline|outlined|regular|solid|thin|variant))+$")


def concept_of(glyph: str) -> str:
    """The concept that a glyph name stands for: the name without its style.

    >>> concept_of("camera-outline"), concept_of("heart-bold"), concept_of("arrow-left")
    ('camera', 'heart', 'arrow-left')
    """
    return _STYLE.sub("", glyph)


def is_test_concept(concept: str) -> bool:
    """Whether a concept belongs to the test part; the same on every machine.

    All concepts with the same first word ("arrow-left", "arrow-up") fall on the same side, so that a test concept is
    not a small change to one that was trained on.
    """
    digest = hashlib.sha256(concept.split("-")[0].encode()).digest()
    return digest[0] % TEST_SHARE == 0


def render(
    out: Path, part: str = "all", min_families: int = 2, image_size: int = IMAGE_SIZE, more_families: bool = False
) -> dict[str, int]:
    """Draw the pictograms into `out/<concept>/<family>.<glyph>.png`; gives the counts.

    More families know a concept by more names ("heart" and "favorite", "pie-chart" and "chart-pie"). So with them the
    train part lacks each concept with the words of a test concept, in any order, or a drawing that looks like one of a
    test concept's. (Test concepts are then those that two families of all draw, or one where fewer are asked for.)

    Args:
        out: a folder that does not exist yet or is empty.
        part: "train", "test" (one concept in five) or "all".
        min_families: leave out concepts drawn by fewer families than this.
        image_size: pixels a side.
        more_families: also draw those of `MORE_FAMILIES`; for the train part alone.

    Raises:
        DataError: `out` is not empty, the fonts are not installed, or more families are to be tested on.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} is there and is not an empty folder. Give a new folder, or empty this one first.")
    if more_families and part != "train":
        raise DataError(
            f"--more-families was given with --part {part}; they are to train on: results are told of the "
            f"{len(FAMILIES)} families. Give --part train."
        )
    families = FAMILIES + (MORE_FAMILIES if more_families else ())
    count = len({family.name for family in families})
    drawings = _drawings(families, image_size, min(min_families, 2) if more_families else min_families)
    wanted = {c: d for c, d in drawings.items() if part == "all" or is_test_concept(c) == (part == "test")}
    if more_families:
        asked = {c: d for c, d in drawings.items() if is_test_concept(c)}
        known = known_by_other_names(wanted, asked)
        drawn_by = {c: {name.partition(".")[0] for name, _ in d} for c, d in wanted.items()}
        wanted = {c: d for c, d in wanted.items() if c not in known and len(drawn_by[c]) >= min_families}
    if not wanted:
        raise DataError(f"No concept is drawn by {min_families} families; there are {count}. Ask for fewer.")
    try:
        for concept, images in wanted.items():
            folder = out / concept
            folder.mkdir(parents=True)
            for name, image in images:
                image.save(folder / f"{name}.png")
        (out / "LICENCES.md").write_text(_licence_note(families), encoding="utf-8")
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror or error}.") from None
    return {"classes": len(wanted), "images": sum(map(len, wanted.values())), "families": count}


class _Fonts:
    """Where the fonts are, and their glyphs."""

    def __init__(self) -> None:
        self._files: dict[str, list[metadata.PackagePath]] = {}

    def glyphs(self, family: Family) -> Iterator[tuple[str, str, Path, int]]:
        """Every glyph of one family: concept, a name for its file, font file and code point.

        Raises:
            DataError: a font is not installed.
        """
        for font in family.fonts:
            path = self._path(font.package, font.file)
            for glyph, code in sorted(self._names(font).items()):
                if called := re.fullmatch(font.glyph, glyph):
                    concept = concept_of(called[1].replace("_", "-"))
                    point = code if isinstance(code, int) else int(code, 16)
                    yield concept, f"{family.name}.{font.tag}.{glyph}", path, point

    def concepts(self, font: Font) -> set[str]:
        """What the glyphs of a font stand for."""
        return {concept_of(glyph) for glyph in self._names(font)}

    def _names(self, font: Font) -> dict[str, str | int]:
        names: dict[str, str | int] = json.loads(self._path(font.package, font.names).read_text(encoding="utf-8"))
        return names

    def _path(self, package: str, pattern: str) -> Path:
        if package not in self._files:
            try:
                self._files[package] = list(metadata.files(package) or [])
            except metadata.PackageNotFoundError:
                self._files[package] = []
        for file in self._files[package]:
            if file.match(pattern):
                return Path(str(file.locate()))
        extra = "" if package == "qtawesome" else ", or with all others: pip install 'edgefew[pictograms]'"
        raise DataError(
            f"No {pattern} was found: the icon fonts come with the package {package}. Install it: pip install "
            f"{package}{extra}"
        )


def _drawings(
    families: Sequence[Family], image_size: int, min_families: int
) -> dict[str, list[tuple[str, Image.Image]]]:
    """The drawings of each concept that at least `min_families` families drew, no drawing twice in a family."""
    fonts = _Fonts()
    glyphs: dict[str, dict[str, list[tuple[str, Path, int]]]] = defaultdict(lambda: defaultdict(list))
    logos = set().union(*(fonts.concepts(_of_qtawesome(stem)) for stem in BRAND_FONTS))
    for family in families:
        for concept, name, font, code in fonts.glyphs(family):
            if concept not in logos and not concept.endswith("-logo"):
                glyphs[concept][family.name].append((name, font, code))

    loaded: dict[Path, ImageFont.FreeTypeFont] = {}
    seen: dict[str, set[bytes]] = defaultdict(set)
    result = {}
    # Fonts hold one drawing under several names ("home", "house"). It goes to the concept with the most families.
    for concept in sorted(glyphs, key=lambda c: (-len(glyphs[c]), c)):
        if len(glyphs[concept]) < min_families:
            continue
        images: list[tuple[str, Image.Image]] = []
        drawn_by = set()
        for family_name, candidates in glyphs[concept].items():
            for name, font, code in candidates:
                if font not in loaded:
                    loaded[font] = ImageFont.truetype(str(font), size=4 * image_size)
                image = _draw(loaded[font], chr(code), image_size)
                digest = hashlib.sha256(image.tobytes()).digest() if image else b""
                if image and digest not in seen[family_name]:
                    seen[family_name].add(digest)
                    images.append((name, image))
                    drawn_by.add(family_name)
        if len(drawn_by) >= min_families:
            result[concept] = images
    return dict(sorted(result.items()))


def known_by_other_names(
    concepts: dict[str, list[tuple[str, Image.Image]]], asked: dict[str, list[tuple[str, Image.Image]]]
) -> set[str]:
    """Those of `concepts` that are likely to be one of `asked`: of the same words, or with a drawing alike."""
    words = {frozenset(concept.split("-")) for concept in asked}
    looks = np.stack([_look(image) for images in asked.values() for _, image in images])
    return {
        concept
        for concept, images in concepts.items()
        if frozenset(concept.split("-")) in words
        or (np.stack([_look(image) for _, image in images]) @ looks.T).max() > LOOKS_ALIKE
    }


def _look(image: Image.Image) -> npt.NDArray[np.float32]:
    """A small copy as a vector of mean 0 and length 1: float32 [`_LOOK` · `_LOOK`]."""
    small = np.asarray(image.resize((_LOOK, _LOOK), Image.Resampling.BILINEAR), np.float32).ravel()
    small = small - small.mean()
    look: npt.NDArray[np.float32] = small / (np.linalg.norm(small) or 1)
    return look


def _draw(font: ImageFont.FreeTypeFont, character: str, image_size: int) -> Image.Image | None:
    """One glyph, its ink scaled to `GLYPH_SHARE` and centred; None if it has no ink."""
    left, top, right, bottom = font.getbbox(character)
    size = (max(1, round(right - left)), max(1, round(bottom - top)))
    ink = Image.new("L", size, 0)
    ImageDraw.Draw(ink).text((-left, -top), character, font=font, fill=255)
    box = ink.getbbox()  # the font's own box is the advance, often wider than what is drawn
    if box is None:
        return None
    ink = ImageOps.invert(ink.crop(box))
    width, height = ink.size
    scale = GLYPH_SHARE * image_size / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    canvas = Image.new("L", (image_size, image_size), 255)
    canvas.paste(ink.resize(size, Image.Resampling.BOX), ((image_size - size[0]) // 2, (image_size - size[1]) // 2))
    return canvas


def _licence_note(families: Sequence[Family]) -> str:
    packages = sorted({f"`{font.package}`" for family in families for font in family.fonts})
    lines = ["# Where these drawings come from", ""]
    lines += [f"Drawn from icon fonts that these Python packages ship: {', '.join(packages)}.", ""]
    lines += ["| files | drawings | licence |", "|---|---|---|"]
    lines += [f"| `{f.name}.*.png` | {f.credit} | {f.licence} |" for f in families]
    return "\n".join([*lines, ""])
