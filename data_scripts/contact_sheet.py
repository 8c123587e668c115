"""Draw the first figure of the book: people of the default world, a row each, a camera a column.

    python data_scripts/contact_sheet.py
    python data_scripts/contact_sheet.py --people 3 --out book/_static/contact_rows.jpg

Nobody is picked by hand: these are the first people of seed 0, once in each of five visible and two
infrared cameras, everything else as `World` has it by default (but for the size of the pictures).
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reidlab.files import WriteError, check_writable, write_bytes
from reidlab.synth import World

OUT = Path(__file__).parents[1] / "book" / "_static" / "contact_sheet.jpg"
WORLD = World(seed=0, cameras=5, infrared_cameras=2, resolution=(192, 96))
PEOPLE = 8
GAP = 4  # pixels between pictures
GREY = 150  # of the gaps: readable on a light page and on a dark one


def sheet(people: int = PEOPLE) -> NDArray[np.uint8]:
    """(height, width, 3) bytes."""
    total = WORLD.cameras + WORLD.infrared_cameras
    keys = [(person, camera, 0) for person in range(1, people + 1) for camera in range(total)]
    images = WORLD.render(keys).images
    cells = np.pad(images, ((0, 0), (0, GAP), (0, GAP), (0, 0)), constant_values=GREY)
    height, width = cells.shape[1:3]
    rows = cells.reshape(people, total, height, width, 3).transpose(0, 2, 1, 3, 4)
    return rows.reshape(people * height, total * width, 3)[:-GAP, :-GAP]


def encode(pixels: NDArray[np.uint8]) -> bytes:
    """A JPEG: sensor noise makes a PNG of this sheet three times as large, or blotchy."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=85, subsampling=0, optimize=True)
    return buffer.getvalue()


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT, help="where the JPEG goes")
    parser.add_argument("--people", type=int, default=PEOPLE, help="how many rows")
    arguments = parser.parse_args(argv)
    try:
        check_writable(arguments.out)
        content = encode(sheet(arguments.people))
        write_bytes(arguments.out, content)
    except (WriteError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.out}: {len(content) / 1024:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
