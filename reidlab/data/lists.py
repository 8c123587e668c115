"""Text files that say which images belong to a split.

A list is followed exactly. What a text editor or Windows adds to it (a BOM, CRLF, blank lines, back
slashes) is accepted, the last with a warning; a name that stands twice, however it is spelt, is
taken once and reported. Folders before the part of a path that the layout knows are of another
machine and don't count, nor does the ending of an image that was encoded anew.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from itertools import combinations
from pathlib import Path
from typing import TypeVar

from reidlab.data.dataset import Findings, some
from reidlab.data.errors import DatasetError
from reidlab.data.folders import leave_out
from reidlab.data.spelling import IMAGE_SUFFIXES, published_name, tail

Value = TypeVar("Value")


def read_lines(path: Path, found: Findings) -> list[str]:
    """The lines of a text file, stripped, without blank ones and repetitions.

    Raises:
        DatasetError: it cannot be read, is no text, or is empty.
    """
    lines = list(filter(None, map(str.strip, read_text(path).splitlines())))
    if not lines:
        raise DatasetError(f"{path} is empty: was the copying interrupted? Do it again")
    if any("\\" in line for line in lines):
        lines = [line.replace("\\", "/") for line in lines]
        found.warnings.append(
            f"{path.name} has Windows' back-slashes in its paths; they are read as slashes"
        )
    times = Counter(lines)
    twice = [line for line, number in times.items() if number > 1]
    return once(path.name, f"lines, e.g. {some(twice, 1)}", lines, found)


def once(source: str, kind: str, values: Iterable[Value], found: Findings) -> list[Value]:
    """The values without repetitions; how many there were is reported."""
    values = list(values)
    first = list(dict.fromkeys(values))
    if len(first) < len(values):
        found.warnings.append(
            f"{source} repeats {len(values) - len(first)} {kind}; each is taken once"
        )
    return first


def read_text(path: Path) -> str:
    """A small text file as UTF-8, without a BOM.

    Raises:
        DatasetError: it is missing, cannot be read, or is no UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DatasetError(
            f"there is no {path}, the list that decides the split: copy it from the archive"
        ) from error
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{path} is no UTF-8 text ({error.reason} at byte {error.start}): save it as UTF-8 "
            '(Excel calls it "CSV UTF-8"), or copy it again'
        ) from error
    except OSError as error:  # a folder of that name, or not ours to read
        raise DatasetError(
            f"cannot read the list {path} ({error}): copy it from the archive again"
        ) from error


def read_names(path: Path, found: Findings) -> list[str]:
    """The base names of the images that a list names, each once, as published.

    Raises:
        DatasetError: see `read_lines`.
    """
    names = (image_name(line, 1, found) for line in read_lines(path, found))
    return once(path.name, "images, spelt in two ways", names, found)


def image_name(path: str, parts: int, found: Findings) -> str:
    """The last parts of an image's path as the layout writes them."""
    return published_name(tail(path, parts), Path(found.example).suffix)


def read_labelled(path: Path, found: Findings, parts: int) -> dict[str, int]:
    """Path -> label of the lines "<path> <label>" of a list, of each path the last parts.

    Raises:
        DatasetError: see `read_lines`; or a line that has another form, e.g. the label first; or
            one path with two labels.
    """
    labels: dict[str, int] = {}
    lines = (_labelled(path, line) for line in read_lines(path, found))
    named = ((image_name(name, parts, found), label) for name, label in lines)
    for name, label in once(path.name, "images, spelt in two ways", named, found):
        if labels.setdefault(name, label) != label:
            raise DatasetError(
                f"{path} gives {name} two labels, {labels[name]} and {label}: take the published "
                "list"
            )
    return labels


def _labelled(path: Path, line: str) -> tuple[str, int]:
    parts = line.split()
    if len(parts) == 2:
        name, label = parts
        if re.fullmatch(r"\d+", label, re.ASCII):
            return name, int(label)
        if re.fullmatch(r"\d+", name, re.ASCII) and label.lower().endswith(IMAGE_SUFFIXES):
            raise DatasetError(
                f"{path} has the label before the path in the line {line!r}: expected '<path> "
                "<label>'. Swap the columns, or take the published list"
            )
    raise DatasetError(
        f"{path} has the line {line!r}, expected '<path> <label>' with a whole number as label. "
        "Take the published list"
    )


def read_numbers(path: Path, found: Findings) -> list[int]:
    """Whole numbers of a text file, separated by commas, blanks or line ends; each once.

    Raises:
        DatasetError: see `read_lines`; or something else than a number.
    """
    words = re.split(r"[,\s]+", " ".join(read_lines(path, found)).strip(", \t"))
    for word in words:
        if not re.fullmatch(r"\d+", word, re.ASCII):
            raise DatasetError(
                f"{path} holds {word!r} where a person's number is expected (whole numbers "
                "separated by commas): take the published file"
            )
    return once(path.name, "numbers", map(int, words), found)


def of_layout(
    path: Path,
    names: Iterable[str],
    pattern: re.Pattern[str],
    found: Findings,
    *,
    claim: str,
    folder: Path,
    example: str | None = None,
) -> dict[str, re.Match[str]]:
    """Name -> match of the names of a list that are of the layout; the others are reported.

    Args:
        path: of the list.
        names: that it lists, each once.
        pattern: of a name.
        found: where the others are reported, below `folder`.
        claim: what no line does where none matches: "names an image of MSMT17".
        folder: see found.
        example: a line that would match; by default the layout's name.

    Raises:
        DatasetError: not one name matches.
    """
    matches = {name: pattern.fullmatch(name) for name in names}
    foreign = [name for name, match in matches.items() if match is None]
    if len(foreign) == len(matches):
        raise DatasetError(
            f"no line of {path} {claim}: expected lines like '{example or found.example}', found "
            f"{foreign[0]!r}. Take the published list"
        )
    leave_out(found, folder, foreign)
    return {name: match for name, match in matches.items() if match is not None}


def report_absent(
    source: str, people: Collection[int], seen: Collection[int], found: Findings
) -> None:
    """Report people of a list who have no image."""
    absent = sorted(set(people) - set(seen))
    if absent:
        found.warnings.append(
            f"{len(absent)} of the {len(people)} people of {source} have no image: {some(absent)}"
        )


def present(
    source: str, listed: Collection[str], on_disk: Collection[str], found: Findings
) -> list[str]:
    """The listed names that are on disk. How many are missing is reported.

    Args:
        source: the list's name, for the sentence.
        listed: names.
        on_disk: names in the same form.
        found: where it is reported.

    Raises:
        DatasetError: none of them is there.
    """
    existing = set(on_disk)
    missing = [name for name in listed if name not in existing]
    if len(missing) == len(listed):
        raise DatasetError(
            f"none of the {len(listed)} images named by {source} is in {found.root}, e.g. "
            f"{some(missing, 1)}. Are the images unpacked beside the list, and is it the list of "
            "this set?"
        )
    if missing:
        found.warnings.append(
            f"{len(missing)} of the {len(listed)} images named by {source} are missing: "
            f"{some(missing)}"
        )
    return [name for name in listed if name in existing]


def check_disjoint(where: Path, lists: Mapping[str, Collection[str]]) -> None:
    """Raise if an image stands in two lists of which each is a part of the set."""
    for (one, names), (other, others) in combinations(lists.items(), 2):
        both = sorted(set(names) & set(others))
        if both:
            raise DatasetError(
                f"{one} and {other} in {where} both name {len(both)} images, e.g. {both[0]}: an "
                "image belongs to one of them. Take the published lists"
            )


def unlisted(names: Collection[str], listed: Collection[str], found: Findings) -> None:
    """Report images of the layout that stand in no list; they are in no table."""
    extra = sorted(set(names) - set(listed))
    if extra:
        found.warnings.append(
            f"{len(extra)} images stand in no list and are left out: {some(extra)}"
        )
