"""Opening one image."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from reidlab.data.cuhk03_store import read_stored_image
from reidlab.data.errors import DatasetError
from reidlab.data.matlab import split_virtual

DAMAGE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises for broken files; the last where a damaged header claims a huge image."""


def read_image(path: str | Path) -> Image.Image:
    """The whole image, decoded, as RGB.

    Args:
        path: of a file, or one that leads through a .mat file, as tables of CUHK03 have it:
            ".../cuhk-03.mat/detected/1_001_1_01.png".

    Raises:
        DatasetError: it is missing, truncated or no image.
    """
    inside = split_virtual(path)
    if inside is not None:
        return Image.fromarray(read_stored_image(*inside))
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DatasetError(
            f"the image {path} is gone since the data set was opened: restore it, or open the "
            "data set again without it"
        ) from error
    except DAMAGE as error:
        raise DatasetError(
            f"cannot read the image {path} ({error}): it is damaged, perhaps an interrupted "
            "copy. Copy or unpack this file again (a synthetic set: delete its "
            "folder and write it again)"
        ) from error
