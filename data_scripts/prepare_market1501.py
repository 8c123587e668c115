"""Unpack and check your own copy of Market-1501. Nothing is downloaded.

What it is
    32,668 boxes of 1,501 people seen by six cameras in front of a supermarket at Tsinghua
    University (Zheng et al., "Scalable Person Re-identification: A Benchmark", ICCV 2015).
Whom to ask
    Its authors, through the data set's page at zheng-lab.cecs.anu.edu.au/Project/project_reid.html.
    It is meant for academic research; get it in your institution's name.
Licence
    None that would let others pass it on: it cannot be shipped with this book, nor mirrored by you.
Privacy
    The people in it were filmed in a public place and did not consent to a data set. Some
    institutions forbid its use; ask yours. Do not show faces, do not look for the people.

    python data_scripts/prepare_market1501.py Market-1501-v15.09.15.zip --out data/market1501

Without any data, people who do not exist, in the same layout:

    python data_scripts/make_synthetic.py --layout market1501 --out data/plaza-market1501
"""

from __future__ import annotations

import argparse
import shutil
import sys
import zipfile
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from reidlab.data import DatasetError, open_dataset

PARTS = ("bounding_box_train", "bounding_box_test", "query")


class ArchiveError(Exception):
    """An archive that is not Market-1501, or not safe to unpack."""


def wanted(archive: zipfile.ZipFile) -> dict[zipfile.ZipInfo, PurePosixPath]:
    """The members to unpack, each with its place below the output folder.

    Raises:
        ArchiveError: a member points out of the folder, or a part is missing.
    """
    members = {}
    for info in archive.infolist():
        path = PurePosixPath(info.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
            raise ArchiveError(
                f"{archive.filename}: member {info.filename!r} points out of the folder. "
                "This is not the archive the authors publish; do not unpack it."
            )
        if info.is_dir() or path.suffix.lower() != ".jpg" or path.name.startswith("._"):
            continue
        part = next((part for part in PARTS if part in path.parts[:-1]), None)
        if part is not None:
            members[info] = PurePosixPath(part, path.name)
    missing = set(PARTS) - {place.parts[0] for place in members.values()}
    if missing:
        raise ArchiveError(
            f"{archive.filename}: no images in {', '.join(sorted(missing))}; "
            f"Market-1501 has {', '.join(PARTS)}. Is the download complete?"
        )
    return members


def unpack(source: Path, out: Path) -> int:
    """Unpack the images that are not there yet; return how many were written.

    An image that is there with the archive's size is left alone, so a second run is quick and an
    interrupted one goes on.

    Raises:
        ArchiveError: not a zip file, see `wanted`, or a file there differs from the archive's.
    """
    if not zipfile.is_zipfile(source):
        raise ArchiveError(f"{source} is not a whole zip archive. Download it again.")
    written = 0
    with zipfile.ZipFile(source) as archive:
        for info, place in tqdm(wanted(archive).items(), desc="unpacking", disable=None):
            target = out / place
            if target.exists():
                if target.stat().st_size != info.file_size:
                    raise ArchiveError(
                        f"{target} is there and differs from the archive's; it was not overwritten."
                        " Move it away, or unpack into another folder."
                    )
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            beside = target.with_suffix(".tmp")
            with archive.open(info) as image, beside.open("wb") as file:
                shutil.copyfileobj(image, file)
            beside.replace(target)
            written += 1
    return written


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("archive", type=Path, help="the zip file you were given")
    parser.add_argument("--out", type=Path, default=Path("data/market1501"))
    arguments = parser.parse_args(argv)
    try:
        written = unpack(arguments.archive, arguments.out)
        ds = open_dataset("market1501", arguments.out)
    except (ArchiveError, DatasetError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{written} images written to {arguments.out}")
    print(ds.describe().to_string())
    for warning in ds.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
