"""Preparing a user's own copy of a data set: unpack it safely, convert it, check it.

A script of `data_scripts/` is a docstring for people and a `Recipe` for this module. Nothing is
ever downloaded. Archives are unpacked into a folder, an unpacked folder is checked where it lies
and never written to. A second run does nothing, an interrupted one goes on: each file is written
beside its place and then renamed, so that a file that is there is whole.

An archive is checked before its first file is written. One that has a path out of the folder, a
link or a device is refused as a whole: it is not what the authors publish.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import lzma
import re
import shutil
import stat
import sys
import tarfile
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple, cast

from tqdm import tqdm

from reidlab.data import DatasetError, DatasetWarning, open_dataset
from reidlab.files import alone, atomic, is_litter, same_place, sweep

CHUNK = 1 << 20  # bytes read at once, so that no member is held whole in memory
SAMPLE = 5_000  # names of a folder that are looked at to tell which set it is
FOREIGN = re.compile(r"\.(rar|7z|z\d\d)$", re.IGNORECASE)
PACKED = re.compile(r"\.(zip|tar|tgz|gz|bz2|xz|rar|7z)$", re.IGNORECASE)
WORLD, MASKS = r"world\.json", "masks"  # of a set that reidlab.synth wrote: it stays synthetic
DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
)
"""What the standard library raises where an archive is cut short or its bytes are wrong."""


class PrepareError(Exception):
    """A source that cannot be used, or not safely; the message says what to do instead."""


KINDS = {
    "market1501": ("Market-1501", r"-?\d+_c\ds\d_\d+_\d+\.jpg"),
    "dukemtmc": ("DukeMTMC-reID", r"\d{4}_c\d_f\d{7}\.jpg"),
    "occluded-duke": ("Occluded-Duke", r"(train|query|gallery)\.list"),
    "msmt17": ("MSMT17", r"\d{4}_\d{3}_\d{2}_\d{4}(morning|(after)?noon)_\d+_\d+(_ex)?\.jpg"),
    "cuhk03": ("CUHK03", r"cuhk-03\.mat|\d_\d{3}_\d_\d{2}\.png|\d{4}_c\d_\d+\.png"),
    "veri776": ("VeRi-776", r"\d{4}_c\d{3}_\d{8}_\d+\.jpg"),
    "randperson": ("RandPerson", r"\d{6}_[sc]\d{2}_[sc]\d{2}_f\d{6}\.jpg"),
    "sysu-mm01": ("SYSU-MM01", r"cam[1-6]/\d{4}/\d{4}\.jpg"),
    "regdb": ("RegDB", r"(male|female)_(front|back)_[vt]_\d{5}_\d+\.bmp"),
    "pku-reid": ("PKU-Reid", r"(\d{3}/0[12]_[1-8]|\d+_\d+_\d+)\.png"),
}
"""By the name of the script, `prepare_<name with _ for ->.py`: the title, and names of files that
no other set has."""


@dataclass(frozen=True)
class Recipe:
    """What is special about one data set.

    Args:
        name: key of `KINDS`.
        keep: regular expressions of paths in an archive, matched at its end; what the first one
            matches is the file's place below the output folder. Everything else is passed over.
        forms: the layouts in which the set is complete, each as the glob patterns, relative to the
            root, that must all match at least one file.
        also: other kinds whose names belong here too.
        leave: regular expression of source file names that are left alone.
        convert: called with the folder that holds the unpacked files and the output folder; gives
            back the folder to open and how many files it wrote.
        opens: the names for `open_dataset`, with options, under which a root is checked; without
            it `name` alone.
        remarks: sentences about a root that its owner should know.
    """

    name: str
    keep: tuple[str, ...]
    forms: tuple[tuple[str, ...], ...]
    also: tuple[str, ...] = ()
    leave: str = r"(?!)"
    convert: Callable[[Path, Path], tuple[Path, int]] | None = None
    opens: Callable[[Path], list[tuple[str, dict[str, Any]]]] | None = None
    remarks: Callable[[Path], list[str]] | None = None

    @property
    def title(self) -> str:
        """As people write it."""
        return KINDS[self.name][0]

    def place(self, path: PurePosixPath) -> PurePosixPath | None:
        """Where a file of an archive goes, relative to the output folder; None: nowhere.

        The masks of a synthetic set are named as its images are, and stay behind.
        """
        if MASKS in path.parts:
            return None
        for pattern in (*self.keep, WORLD):
            match = re.search(rf"(?:^|/)({pattern})$", path.as_posix())
            if match:
                return PurePosixPath(match[1])
        return None


class Member(NamedTuple):
    """A file of an archive: its path with forward slashes, its bytes, and how they are read."""

    path: PurePosixPath
    size: int
    open: Callable[[], IO[bytes]]


def prepare(recipe: Recipe, sources: Sequence[Path], out: Path) -> tuple[Path, int]:
    """Bring what a user has into a form that `open_dataset` reads.

    Args:
        recipe: of the set.
        sources: archives and lone files, unpacked into `out`; or a folder, read where it lies.
        out: folder; made when there is something to write.

    Returns:
        The folder to open, and how many files were written: 0 when all was there.

    Raises:
        PrepareError: see `unpack`; also a source that is missing, or folders mixed with archives.
    """
    for source in sources:
        if not source.exists():
            raise PrepareError(f"there is no file or folder {source}: check the path")
    folders = [source for source in sources if source.is_dir()]
    files = [source for source in sources if source not in folders and _useful(recipe, source)]
    if len(folders) > 1:
        raise PrepareError(f"pass one folder, not {len(folders)}: {', '.join(map(str, folders))}")
    if folders:
        root, written = folders[0], 0
        _check_folder(recipe, root)
    else:
        root, written = out, unpack(recipe, files, out) if files else 0
    if recipe.convert:
        root, converted = recipe.convert(root, out)
        written += converted
    if folders and files:
        if not same_place(root, out):
            raise PrepareError(
                f"nothing is added to {root}, which is yours and only checked. To add the files of "
                f"{files[0].name} to it, pass that alone, and --out {root}"
            )
        written += unpack(recipe, files, out)
    return root, written


def unpack(recipe: Recipe, sources: Sequence[Path], out: Path) -> int:
    """Unpack what belongs to the set and is not there yet.

    Args:
        recipe: says which members are kept, where they go, and which there must be.
        sources: zip and tar archives (.gz, .bz2 and .xz too), and lone files of the set.
        out: folder; files of it that are equal to the archive's are left alone.

    Returns:
        How many files were written.

    Raises:
        PrepareError: an archive that is unsafe, damaged, cut short or of another set; parts that
            are neither in the archives nor in `out`; a file in `out` that differs.
        WriteError: the disk is full, or `out` cannot be written.
    """
    with ExitStack() as stack:
        jobs, names = [], []
        for source in sources:
            with _damage(source):
                members = [
                    member
                    for member in _members(source, stack)
                    if not any(map(is_litter, member.path.parts))
                ]
            inside = [member.path.as_posix() for member in members]
            _check_kind(recipe, source, inside)
            names += inside
            places = [(member, recipe.place(member.path)) for member in members]
            jobs += [(source, member, place) for member, place in places if place is not None]
        _check_forms(recipe, names, {str(place) for _, _, place in jobs}, out)
        complete = all((out / place).exists() for _, _, place in jobs)
        with nullcontext() if complete else alone(out):
            for folder in {(out / place).parent for _, _, place in jobs}:
                sweep(folder)
            written = 0
            for source, member, place in tqdm(jobs, "unpacking", unit=" files", disable=None):
                with _damage(source, str(member.path)), member.open() as stream:
                    written += put(stream, member.size, out / place, source)
            return written


def put(stream: IO[bytes], size: int, target: Path, source: Path) -> bool:
    """Write a file of `size` bytes, unless it is there.

    Returns:
        Whether it was written.

    Raises:
        PrepareError: a file is there that differs, or the stream has another number of bytes.
    """
    if target.exists():
        if target.stat().st_size != size or not _same(stream, target):
            raise PrepareError(
                f"{target} is there and differs from the one in {source}; it was not overwritten. "
                "Move it away, or choose another folder with --out"
            )
        return False
    with atomic(target, sync=False) as beside:
        with beside.open("wb") as file:
            shutil.copyfileobj(stream, file, CHUNK)
        if beside.stat().st_size != size:
            raise PrepareError(
                f"{source}: {target.name} has {beside.stat().st_size:,} bytes, the archive "
                f"announces {size:,}. It is damaged; get it again"
            )
    return True


def report(recipe: Recipe, root: Path) -> None:
    """Open the set as a reader would; print its counts, its warnings, and the remarks.

    Raises:
        DatasetError: the folder cannot be read as this set.
    """
    for name, options in recipe.opens(root) if recipe.opens else [(recipe.name, {})]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DatasetWarning)  # printed below, each once
            ds = open_dataset(name, root, **options)
        chosen = "".join(f", {key}={value!r}" for key, value in options.items())
        print(f"\nopen_dataset({name!r}, {str(root)!r}{chosen})")
        table = ds.describe()
        numbers = table.select_dtypes("number")
        print(numbers.transpose().to_string())
        for column in table.columns.drop(numbers.columns):
            print(f"{column}: {', '.join(map(str, table[column].unique()))}")
        for warning in ds.warnings:
            print(f"warning: {warning}", file=sys.stderr)
    for remark in recipe.remarks(root) if recipe.remarks else []:
        print(f"note: {remark}")


def run(recipe: Recipe, doc: str | None, argv: Sequence[str] | None = None) -> int:
    """The command line of a script: prepare, then check. Returns the exit status."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "sources",
        type=Path,
        nargs="+",
        metavar="SOURCE",
        help="the archives you were given, or the folder you unpacked them to",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("data", recipe.name),
        help="folder to unpack and convert to (default: %(default)s)",
    )
    arguments = parser.parse_args(argv)
    try:
        root, written = prepare(recipe, arguments.sources, arguments.out)
        print(
            f"{written:,} files written to {arguments.out}"
            if written
            else f"nothing to do: all files are in {root}"
        )
        report(recipe, root)
    except (PrepareError, DatasetError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted: the same command goes on where it stopped", file=sys.stderr)
        return 130
    return 0


def _members(source: Path, stack: ExitStack) -> list[Member]:
    """The files of an archive, in the order in which they are best read; of a lone file, itself."""
    if tarfile.is_tarfile(source):  # first: a tar that ends with a zip looks like a zip as well
        return _tar_members(source, stack.enter_context(tarfile.open(source)))
    if zipfile.is_zipfile(source):
        return _zip_members(source, stack.enter_context(zipfile.ZipFile(source)))
    if FOREIGN.search(source.name):
        raise PrepareError(f"{source}: only zip and tar are read. Unpack it, and pass the folder")
    if PACKED.search(source.name):
        kind = "zip" if source.suffix.lower() == ".zip" else "tar"
        raise PrepareError(f"{source} is not a whole {kind} archive. Get it again")
    return [Member(PurePosixPath(source.name), source.stat().st_size, lambda: source.open("rb"))]


def _zip_members(source: Path, archive: zipfile.ZipFile) -> list[Member]:
    members = []
    for info in archive.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        path = _safe(source, info.filename, plain=kind in (0, stat.S_IFREG, stat.S_IFDIR))
        if info.flag_bits & 1:
            raise PrepareError(
                f"{source} is encrypted. Unpack it with the password its authors gave you, and "
                "pass the folder"
            )
        if not info.is_dir():
            members.append(Member(path, info.file_size, partial(archive.open, info)))
    return members


def _tar_members(source: Path, archive: tarfile.TarFile) -> list[Member]:
    members = []
    for info in tqdm(archive, desc=f"reading {source.name}", disable=None):
        path = _safe(source, info.name, plain=info.isfile() or info.isdir())
        if info.isfile():
            content = partial(cast(Callable[..., IO[bytes]], archive.extractfile), info)
            members.append(Member(path, info.size, content))
    # tarfile takes a broken header for the end; the end of a whole archive is a block of zeros.
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("no end mark after the last file")
    return members


def _safe(source: Path, name: str, *, plain: bool) -> PurePosixPath:
    """A member's path, with Windows' back-slashes turned; refused where it is not safe."""
    path = PurePosixPath(name.replace("\\", "/"))
    wrong = None
    if path.is_absolute() or ".." in path.parts or any(":" in part for part in path.parts):
        wrong = "points out of the folder"
    elif not plain:
        wrong = "is a link or a device, expected files and folders alone"
    if wrong:
        raise PrepareError(
            f"{source}: member {name!r} {wrong}. This is not the archive the authors publish; do "
            "not unpack it"
        )
    return path


@contextmanager
def _damage(source: Path, name: str = "") -> Iterator[None]:
    """Turn the library's errors about broken archives into one that says what to do."""
    try:
        yield
    except DAMAGE as error:
        where = f" at {name}" if name else ""
        raise PrepareError(
            f"{source} is damaged or cut short{where} ({error}). Compare its size with the "
            "original, and get it again"
        ) from error
    except NotImplementedError as error:
        raise PrepareError(
            f"{source} is packed by a method that Python cannot read ({error}). Unpack it with "
            "another program, and pass the folder"
        ) from error


def _same(stream: IO[bytes], target: Path) -> bool:
    with target.open("rb") as file:
        chunks = (iter(partial(source.read, CHUNK), b"") for source in (file, stream))
        return all(ours == theirs for ours, theirs in itertools.zip_longest(*chunks))


def _useful(recipe: Recipe, source: Path) -> bool:
    if re.search(recipe.leave, source.name):
        print(f"note: {source.name} is not part of what is read; it is left alone")
        return False
    return True


def _check_kind(recipe: Recipe, source: Path, paths: Iterable[str]) -> None:
    """Refuse the files of another set, whose folders may have the same names."""
    votes = Counter(
        name
        for path in paths
        for name, (_, names) in KINDS.items()
        if re.search(rf"(?:^|/)(?:{names})$", path)
    )
    ours = sum(votes[name] for name in (recipe.name, *recipe.also))
    for name, count in votes.most_common(1):
        if count > ours:
            raise PrepareError(
                f"{source} looks like {KINDS[name][0]}, not like {recipe.title}: run "
                f"data_scripts/prepare_{name.replace('-', '_')}.py on it"
            )


def _check_folder(recipe: Recipe, folder: Path) -> None:
    """A folder's files are this set's, as far as names tell; and they are unpacked."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    wanted = (path.as_posix() for path in found if not any(map(is_litter, path.parts)))
    names = list(itertools.islice(wanted, SAMPLE))
    _check_kind(recipe, folder, names)
    packed = [name for name in names if PACKED.search(name)]
    if packed and not any(recipe.place(PurePosixPath(name)) for name in names):
        raise PrepareError(
            f"{folder} holds archives and no files of {recipe.title}, e.g. {packed[0]}: pass the "
            "archives instead of the folder"
        )


def _check_forms(recipe: Recipe, names: list[str], places: set[str], out: Path) -> None:
    """All parts of one form of the set are in the archives, or in the folder already.

    Raises:
        PrepareError: the parts that are missing from the most complete form.
    """

    def there(pattern: str) -> bool:
        # a star stays within one folder, as for Path.glob
        match = re.compile(re.escape(pattern).replace(r"\*", "[^/]*")).fullmatch
        unpacked = (path.name for path in out.glob(pattern))
        return any(map(match, places)) or not all(map(is_litter, unpacked))

    lacking = [[part for part in form if not there(part)] for form in recipe.forms]
    least, form = min(zip(lacking, recipe.forms, strict=True), key=lambda x: len(x[0]) / len(x[1]))
    if not least:
        return
    packed = [name for name in names if PACKED.search(name)]
    advice = (
        f"It holds other archives, e.g. {packed[0]}: unpack it, and pass these"
        if packed
        else "Is the download complete?"
    )
    raise PrepareError(
        f"no {', '.join(map(_in_words, least))}: {recipe.title} is made of "
        f"{', '.join(form)}, and what was given holds "
        f"{', '.join(names[:3]) or 'nothing'}{', ...' if len(names) > 3 else ''}. {advice}"
    )


def _in_words(pattern: str) -> str:
    folder, _, name = pattern.rpartition("/")
    return f"images in {folder.removesuffix('/*') or 'it'}" if name.startswith("*.") else pattern
