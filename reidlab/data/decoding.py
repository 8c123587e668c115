"""Whether all images of a data set can be decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reidlab.data.errors import DatasetError
from reidlab.data.images import read_image

if TYPE_CHECKING:
    from reidlab.data.dataset import ReIDDataset


def check_images(ds: ReIDDataset, *, progress: bool = True) -> None:
    """Decode every image of a set but junk.

    Raises:
        DatasetError: some cannot be read; it says how many and which.
    """
    wrong = []
    for path in sorted(
        {p for f in (ds.train, ds.query, ds.gallery) for p in f["path"][~f["junk"]]}
    ):
        try:
            read_image(path)
        except DatasetError as error:
            wrong.append(str(error))
    if wrong:
        raise DatasetError(f"{len(wrong)} images of {ds.name} cannot be read: {wrong[0]}")
