"""What a file is that cannot be read as an image: told by its first bytes, never by its name."""

from __future__ import annotations

import os
import re
from pathlib import Path

from PIL import Image, UnidentifiedImageError

COPY = "Copy or unpack this file again (a synthetic set: delete its folder and write it again)"
_CONVERT = "Convert it to JPEG or PNG"
_DOWNLOAD = "Download it again, signed in where the site asks for it"
_UNPACK = "Unpack it, and name its images instead"
_IMAGE = "Put the image itself in its place"

_FOREIGN = (  # the first bytes, what that is, the next step; the first that matches counts
    (rb"\Z", "it is empty (0 bytes)", COPY),
    (rb"\0+\Z", "it holds zeros only, as an interrupted copy leaves them", COPY),
    (
        rb"version https://git-lfs",
        "it is a pointer of Git LFS, the image itself was not downloaded",
        "Run `git lfs pull` in the repository it comes from",
    ),
    (
        rb"[./]*(git/)?annex/objects/",
        "it is a pointer of git-annex, the image itself was not downloaded",
        "Run `git annex get` in the repository it comes from",
    ),
    (
        rb"(\xef\xbb\xbf)?\s*<(!doctype html|!--|html|head|body|script)",
        "it is a web page, such as a login or an error of the server",
        _DOWNLOAD,
    ),
    (rb"(\xef\xbb\xbf)?\s*(<[?!][^>]*>\s*)*<svg", "it is a drawing (SVG)", _CONVERT),
    (
        rb"(\xef\xbb\xbf)?\s*<(\?xml|[a-z]+[ >])",
        "it is an XML document, as servers send for an error",
        _DOWNLOAD,
    ),
    (
        rb"(\xef\xbb\xbf)?\s*(\{\s*[\"}]|\[\s*[\[\]{\"\d-])",
        "it is a JSON text, as servers send for an error",
        _DOWNLOAD,
    ),
    (rb".{4}ftyp(hei|hev|mif1|msf1)", "it is a HEIC picture, as iPhones take them", _CONVERT),
    (rb".{4}ftypavi[fs]", "it is an AVIF picture, which this Pillow cannot decode", _CONVERT),
    (rb".{4}ftypcrx |II\*\0.{4}CR\x02|FUJIFILMCCD-RAW", "it is a camera's raw picture", _CONVERT),
    (rb"\xff\x0a|\0{3}\x0cJXL ", "it is a JPEG XL picture, which Pillow cannot decode", _CONVERT),
    (
        rb".{4}(ftyp|moov|mdat)|\x1aE\xdf\xa3|RIFF.{4}AVI |\0\0\x01[\xb3\xba]",
        "it is a film",
        "Save its frames as JPEG or PNG",
    ),
    (rb"%PDF", "it is a PDF document", _CONVERT),
    (rb"PK(\x03\x04|\x05\x06)", "it is a zip archive, or a document made as one", _UNPACK),
    (
        rb"7z\xbc\xaf\x27\x1c|Rar!|\x1f\x8b|BZh\d|\xfd7zXZ|\x28\xb5\x2f\xfd|.{257}ustar",
        "it is an archive",
        _UNPACK,
    ),
    (rb"MATLAB |\x89HDF|.{512}\x89HDF", "it is a MATLAB or HDF5 file", _IMAGE),
    (rb"\x93NUMPY|\x80[\x02-\x05]", "it is a file of Python (an array or a pickle)", _IMAGE),
    (rb"\0\x05\x16\x07", "it is what macOS writes beside a file for itself", "Delete it"),
    (rb"L\0{3}\x01\x14\x02\0|bplist", "it is a shortcut of Windows or macOS", _IMAGE),
    (rb"data:image/", "it is an image as text (base64)", "Decode the text into a file"),
)
_KNOWN = (  # what Pillow reads
    (rb"\xff\xd8", "a JPEG"),
    (rb"\x89PNG", "a PNG"),
    (rb"GIF8", "a GIF"),
    (rb"BM", "a BMP"),
    (rb"II[*+]\0|MM\0[*+]", "a TIFF"),
    (rb"RIFF.{4}WEBP", "a WebP"),
    (rb"\0{3}\x0cjP  |\xffO\xffQ", "a JPEG 2000"),
    (rb"P[1-7fF]\s", "a PNM"),
)
_HEAD = 1024  # bytes: HDF5 begins after a user block of 512


def why_unreadable(path: str | Path, error: Exception) -> str:
    """A sentence on a file that should be an image and what is wrong with it, and the next step.

    Args:
        path: of the file.
        error: what opening or decoding it raised.
    """
    if os.path.isdir(path):
        what, step = "it is a folder", "Rename it, or take the images out of it"
    elif os.path.islink(path) and not os.path.exists(path):
        target = os.readlink(path)
        what, step = f"it is a link to {target}, which is not there", "Restore what it leads to"
    elif isinstance(error, FileNotFoundError | NotADirectoryError):
        return (
            f"the image {path} is gone since the data set was opened: restore it, or open the "
            "data set again without it"
        )
    elif isinstance(error, PermissionError):
        what, step = "permission denied", "Allow yourself to read it (chmod u+r)"
    elif isinstance(error, OSError) and error.errno is not None:
        what = f"the system says {error.strerror!r}"
        step = "Look after the disk or the network drive it lies on, and try again"
    else:
        what, step = _by_first_bytes(path, error)
    return f"cannot read the image {path}: {what}. {step}"


def _by_first_bytes(path: str | Path, error: Exception) -> tuple[str, str]:
    """What the file is, and the next step."""
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except (OSError, ValueError):  # gone meanwhile; a path with a zero byte
        return str(error), COPY
    for pattern, what, step in _FOREIGN:
        if re.match(pattern, head, re.DOTALL | re.IGNORECASE):
            return what, step
    if isinstance(error, Image.DecompressionBombError):
        step = "If it is whole, make it smaller or cut the people out of it; if not, copy it again"
        return str(error).rstrip("."), step
    unknown = isinstance(error, UnidentifiedImageError)
    reason = str(error) or type(error).__name__
    for pattern, what in _KNOWN:
        if re.match(pattern, head, re.DOTALL):
            if unknown:
                what = f"it is {what} in which Pillow finds no image, damaged or of a rare kind"
                return what, f"{COPY}; if that does not help, convert it to PNG"
            return f"it is {what} and damaged ({reason}), perhaps an interrupted copy", COPY
    text = head.decode(errors="replace").strip()
    if text.isprintable() or all(line.isprintable() for line in text.splitlines()):
        return f"it is a text that begins with {text[:40]!r}", _IMAGE
    if unknown:
        reason = f"it begins with the bytes {head[:8].hex(' ')}"
    return f"it is damaged, or of a kind that Pillow does not know ({reason})", COPY
