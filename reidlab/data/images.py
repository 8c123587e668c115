"""Opening one image: what the network gets is what a person sees.

- A photograph is turned as its orientation tag says (EXIF, or XMP where there is no EXIF), which
  phones set instead of turning the pixels. Without the tag nothing changes.
- Gray images of 16 bits, as thermal cameras write them, are scaled by their type: 0..65535 becomes
  0..255 (0..4095 for a TIFF of 12 bits), the same for every image, whatever its own range. A camera
  that uses a part of the range gives dark images, in here as in a viewer: scale these beforehand,
  all by one range. Numbers of 32 bits and floats have no range of their own and are refused.
- What is transparent is laid on `BACKDROP`, so that no colour hidden below alpha 0 is seen. It is
  black, as the border that training adds before its random crop.
- Of a file of several images the first counts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

from reidlab.data.cuhk03_store import read_stored_image
from reidlab.data.errors import DatasetError
from reidlab.data.matlab import split_virtual
from reidlab.data.signatures import why_unreadable

BACKDROP = (0, 0, 0)
ORIENTATION = 0x0112  # the tag, in EXIF and in TIFF
_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # tags of TIFF
_ZEROS = 64  # bytes; the code of JPEG for pixels never looks like so many
_KEYS = {"L;2": 85, "L;4": 17, "RGB;16B": 1 / 256}  # what Pillow multiplies pixels by, not the key

T = TypeVar("T")


def read_image(path: str | Path) -> Image.Image:
    """The whole image, decoded, upright, as RGB.

    Args:
        path: of a file, or one that leads through a .mat file, as tables of CUHK03 have it:
            ".../cuhk-03.mat/detected/1_001_1_01.png".

    Raises:
        DatasetError: it is missing, truncated or no image, or its pixels are no colours.
    """
    inside = split_virtual(path)
    if inside is not None:
        return Image.fromarray(read_stored_image(*inside))
    return _decoded(path, _upright)


def read_mask(path: str | Path) -> NDArray[np.uint8]:
    """Part labels (H, W) of a mask, see `reidlab.synth.PARTS`.

    Raises:
        DatasetError: it is missing, truncated, or no image with one label a pixel.
    """
    return _decoded(path, _labels)


def is_turned(path: str | Path) -> bool:
    """Whether an image has an orientation tag other than 1; of its file only the head is read.

    A file that cannot be read has none.
    """
    try:
        with Image.open(path) as image:  # a PNG's own `getexif` would decode the pixels, too
            return 2 <= int(Image.Image.getexif(image).get(ORIENTATION, 1)) <= 8
    except Exception:  # whoever reads the pixels says what is wrong with it
        return False


@contextmanager
def strict() -> Iterator[None]:
    """Inside, an image that breaks off is an error.

    Other libraries may have told Pillow, for the whole process, to fill up with gray instead.
    """
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def _decoded(path: str | Path, form: Callable[[Image.Image], T]) -> T:
    try:  # given a name, Pillow would map some TIFFs into memory, and mix up those that are turned
        with strict(), open(path, "rb") as file, Image.open(file) as image:
            if image.format in ("JPEG", "MPO"):
                _check_end(file)
            return form(image)
    except _Refused as error:
        raise DatasetError(f"cannot read the image {path}: {error}") from None
    except Exception as error:  # Pillow's decoders raise a dozen kinds for broken bytes
        raise DatasetError(why_unreadable(path, error)) from error


def _check_end(file: BinaryIO) -> None:
    """Refuse a JPEG that ends in zeros where its pixels should be; Pillow would show them gray.

    Downloads and copies that make room beforehand leave such files when they are interrupted.
    """
    at = file.tell()
    file.seek(-min(_ZEROS, file.seek(0, os.SEEK_END)), os.SEEK_END)
    if not any(file.read()):
        file.seek(0)
        content = file.read()
        if content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda"):  # end of image, start of scan
            raise ValueError("zeros in place of its end")
    file.seek(at)


class _Refused(Exception):
    """An image that is whole and of no use here."""


def _upright(image: Image.Image) -> Image.Image:
    """RGB as a viewer shows it."""
    tiles = getattr(image, "tile", None)  # how the pixels are stored; until they are loaded
    scale = _KEYS.get(str(tiles[0][3])) if tiles else None
    image.load()
    with suppress(Exception):  # as many kinds as there are ways to damage EXIF; it may be whole
        ImageOps.exif_transpose(image, in_place=True)
    if scale is not None and "transparency" in image.info:
        key = np.multiply(image.info["transparency"], scale).astype(int).tolist()
        image.info["transparency"] = tuple(key) if isinstance(key, list) else key
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        image = _eight_bits(image)  # older Pillows open a PNG of 16 bits as "I"
    return _opaque(image)


def _eight_bits(image: Image.Image) -> Image.Image:
    """A gray image of up to 16 bits as "L", or as "LA" where one of its values is transparent."""
    tags = getattr(image, "tag_v2", {})
    values = np.asarray(image).astype(np.uint32)
    white = 2 ** (tags.get(_BITS) or (16,))[0] - 1
    gray = ((values * 255 + white // 2) // white).astype(np.uint8)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        gray = 255 - gray
    key = image.info.get("transparency")
    if key is None:
        return Image.fromarray(gray)
    alpha = np.where(values == key, 0, 255).astype(np.uint8)
    return Image.merge("LA", [Image.fromarray(gray), Image.fromarray(alpha)])


def _opaque(image: Image.Image) -> Image.Image:
    """RGB, on the backdrop where it is transparent."""
    if not all(image.size):
        raise _Refused(f"it has {image.width} x {image.height} pixels. Leave it out")
    if image.mode in ("I", "F"):
        kind = "whole numbers of 32 bits or below 0" if image.mode == "I" else "floats"
        raise _Refused(
            f"its mode is {image.mode!r}, {kind}, which do not say what is white. Save it as a PNG "
            "of 8 or 16 bits, every image of the set scaled by the same range"
        )
    palette = image.palette.mode if image.palette else ""
    has_alpha = "transparency" in image.info or {"A", "a"} & {image.mode[-1], palette[-1:]}
    try:
        if not has_alpha:
            return image.convert("RGB")
        rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    except ValueError as error:
        raise _Refused(f"its mode is {image.mode!r} ({error}). Save it as RGB") from error
    rgb = Image.new("RGB", image.size, BACKDROP)
    rgb.paste(rgba, mask=rgba.getchannel("A"))
    return rgb


def _labels(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode not in ("L", "P"):
        raise _Refused(
            f"its mode is {image.mode!r}, expected 'L' or 'P', a label for each pixel. A mask of a "
            "synthetic set: delete its folder and write it again"
        )
    return np.array(image)
