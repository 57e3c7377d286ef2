"""Pictograms: the built-in data, drawn by six independent design families.

A class is a concept ("camera", "heart"); an example is one family's drawing of it. Training and testing
across families asks what EdgeFew is for: recognise the *thing* from one drawing of it, in another hand.

The drawings are the glyphs of the icon fonts that the package ``qtawesome`` ships. Only its font files and
character maps are read; it is not imported (that would pull in Qt).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

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


@dataclass(frozen=True)
class Family:
    """One design family: fonts drawn by the same people in the same style.

    Two releases of one family (Font Awesome 5 and 6) redraw the same picture. They count as one source: were they two,
    support and query would share a drawing and the accuracy would lie.
    """

    name: str
    fonts: tuple[str, ...]
    licence: str
    credit: str


FAMILIES = (
    Family("codicon", ("codicon",), "CC BY 4.0", "Codicons, Microsoft"),
    Family("elusive", ("elusiveicons-webfont",), "SIL OFL 1.1", "Elusive Icons, Team Redux"),
    Family(
        "fontawesome",
        tuple(f"fontawesome{n}-{style}-webfont" for n in (6, 5) for style in ("solid", "regular")),
        "SIL OFL 1.1",
        "Font Awesome Free, Fonticons Inc.",
    ),
    Family(
        "material",
        ("materialdesignicons6-webfont", "materialdesignicons5-webfont"),
        "Apache-2.0",
        "Material Design Icons, Pictogrammers",
    ),
    Family("phosphor", ("phosphor",), "MIT", "Phosphor Icons"),
    Family("remix", ("remixicon",), "Apache-2.0", "Remix Icon, Remix Design"),
)

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


def render(out: Path, part: str = "all", min_families: int = 2, image_size: int = IMAGE_SIZE) -> dict[str, int]:
    """Draw the pictograms into `out/<concept>/<family>.<glyph>.png`; gives the counts.

    Args:
        out: a folder that does not exist yet or is empty.
        part: "train", "test" (one concept in five) or "all".
        min_families: leave out concepts drawn by fewer families than this.
        image_size: pixels a side.

    Raises:
        DataError: `out` is not empty, or the fonts are not installed.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} is there and is not an empty folder. Give a new folder, or empty this one first.")
    drawings = _drawings(_font_folder(), image_size, min_families)
    wanted = {c: d for c, d in drawings.items() if part == "all" or is_test_concept(c) == (part == "test")}
    if not wanted:
        raise DataError(f"No concept is drawn by {min_families} families; there are {len(FAMILIES)}. Ask for fewer.")
    try:
        for concept, images in wanted.items():
            folder = out / concept
            folder.mkdir(parents=True)
            for name, image in images:
                image.save(folder / f"{name}.png")
        (out / "LICENCES.md").write_text(_licence_note(), encoding="utf-8")
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror or error}.") from None
    return {"classes": len(wanted), "images": sum(map(len, wanted.values())), "families": len(FAMILIES)}


def _font_folder() -> Path:
    try:
        files = metadata.files("qtawesome") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.match("qtawesome/fonts/*.ttf"):
            return Path(str(file.locate())).parent
    raise DataError(
        "The icon fonts were not found: they come with the package qtawesome. Install it: pip install qtawesome"
    )


def _charmap(fonts: Path, stem: str) -> dict[str, str]:
    """Glyph name → code point in hexadecimal."""
    (path,) = fonts.glob(f"{stem}-charmap-*.json")
    names: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return names


def _glyphs(fonts: Path, family: Family) -> Iterator[tuple[str, str, Path, int]]:
    """Every glyph of one family: concept, a name for its file, font file and code point."""
    for stem in family.fonts:
        (font,) = fonts.glob(f"{stem}-[0-9]*.ttf")
        # "fontawesome5-solid-webfont" → "fontawesome5-solid": two fonts of a family may both hold "camera".
        tag = stem.removesuffix("-webfont")
        for glyph, code in sorted(_charmap(fonts, stem).items()):
            yield concept_of(glyph), f"{family.name}.{tag}.{glyph}", font, int(code, 16)


def _drawings(fonts: Path, image_size: int, min_families: int) -> dict[str, list[tuple[str, Image.Image]]]:
    """The drawings of each concept that at least `min_families` families drew, no drawing twice in a family."""
    glyphs: dict[str, dict[str, list[tuple[str, Path, int]]]] = defaultdict(lambda: defaultdict(list))
    logos = {concept_of(glyph) for stem in BRAND_FONTS for glyph in _charmap(fonts, stem)}
    for family in FAMILIES:
        for concept, name, font, code in _glyphs(fonts, family):
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
        families = set()
        for family_name, candidates in glyphs[concept].items():
            for name, font, code in candidates:
                if font not in loaded:
                    loaded[font] = ImageFont.truetype(str(font), size=4 * image_size)
                image = _draw(loaded[font], chr(code), image_size)
                digest = hashlib.sha256(image.tobytes()).digest() if image else b""
                if image and digest not in seen[family_name]:
                    seen[family_name].add(digest)
                    images.append((name, image))
                    families.add(family_name)
        if len(families) >= min_families:
            result[concept] = images
    return dict(sorted(result.items()))


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


def _licence_note() -> str:
    lines = ["# Where these drawings come from", ""]
    lines += ["Drawn from the icon fonts that the Python package `qtawesome` ships.", ""]
    lines += ["| files | drawings | licence |", "|---|---|---|"]
    lines += [f"| `{f.name}.*.png` | {f.credit} | {f.licence} |" for f in FAMILIES]
    return "\n".join([*lines, ""])
