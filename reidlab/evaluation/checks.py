"""Checks on what callers pass in: ids, cameras, embeddings, distances.

Each error names the argument, what it holds, what was expected and what to do.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from reidlab.evaluation.protocols import Protocol

MOST = np.iinfo(np.int64).max

Labels: TypeAlias = ArrayLike | Tensor
Matrix: TypeAlias = ArrayLike | Tensor
Metric = Literal["cosine", "euclidean"]
METRICS: tuple[Metric, ...] = ("cosine", "euclidean")


def integer_labels(name: str, values: Labels, length: int) -> NDArray[np.int64]:
    """Ids or cameras as a (length,) int64 array.

    Raises:
        TypeError: not integers (strings, floats, objects), or missing values.
        ValueError: another shape or length, or a number that 64 bits with a sign do not hold.
    """
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else as_array(name, values)
    if array.ndim != 1 or len(array) != length:
        raise ValueError(
            f"{name} has shape {array.shape}, expected ({length},): one entry per row of the "
            "distances or embeddings (columns for the gallery)"
        )
    if len(array) and array.dtype.kind not in "iu":
        missing = np.flatnonzero(pd.isna(array))
        if len(missing):
            raise TypeError(
                f"{name}: {len(missing)} of {len(array)} entries are missing (NaN), the first is "
                f"number {missing[0]}; give every image its number, or drop these images"
            )
        raise TypeError(
            f"{name} holds {array.dtype} values such as {array[0]!r}, expected integers; turn "
            "names into numbers with the same table for query and gallery, e.g. "
            "pandas.factorize(pandas.concat([query, gallery]))"
        )
    if len(array) and array.dtype == np.uint64 and array.max() > MOST:
        raise ValueError(
            f"{name} holds {array.max()}, expected numbers up to {MOST}: a larger one would come "
            "out negative, the largest of all as junk (-1). Number people anew with numpy.unique("
            "..., return_inverse=True) over query and gallery together"
        )
    return array.astype(np.int64)


def cameras(name: str, values: Labels | None, length: int, protocol: Protocol) -> NDArray[np.int64]:
    """Cameras as a (length,) int64 array; zeros where the protocol does not look at them.

    Raises:
        TypeError, ValueError: as `integer_labels`; none given to a protocol that needs them, below
            0, or not among those that the protocol knows.
    """
    if values is None:
        if protocol.uses_cameras:
            raise ValueError(
                f"{name} is missing: the protocol {protocol.name!r} needs the camera of every "
                f"image. {protocol.rule} If nobody knows the cameras, give each image its own "
                "number, and say so beside the result"
            )
        return np.zeros(length, np.int64)
    array = integer_labels(name, values, length)
    if not protocol.uses_cameras:
        return array
    allowed = protocol.cameras
    wrong = (array < 0) if allowed is None else (array < 0) | (array >= allowed.stop)
    if wrong.any():
        expected = "0 or more" if allowed is None else f"{allowed.start} to {allowed.stop - 1}"
        raise ValueError(
            f"{name} holds {array[wrong][0]}, expected camera numbers of {expected}, counted from "
            f"0 (protocol {protocol.name!r}). Is a camera unknown? Give such an image a number of "
            "its own, or leave it out"
        )
    return array


def embeddings(name: str, values: Matrix) -> Tensor:
    """Embeddings as a (N, D) floating tensor on the device they came on.

    Raises:
        TypeError: not floating numbers of at most 64 bits.
        ValueError: not two-dimensional, no rows, or NaN or infinity inside.
    """
    rows = values.detach() if isinstance(values, Tensor) else as_array(name, values)
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise ValueError(
            f"{name} has shape {tuple(rows.shape)}, expected (images, dimensions); flatten or "
            "pool token maps first"
        )
    _some_rows(name, len(rows))
    if not _is_floating(rows):
        raise TypeError(f"{name} holds {rows.dtype}, expected a floating type such as float32")
    tensor = rows if isinstance(rows, Tensor) else _tensor(rows)
    bad = ~torch.isfinite(tensor).all(dim=1)
    if bad.any():
        first = int(bad.nonzero()[0, 0])
        raise ValueError(
            f"{name}: {int(bad.sum())} of {len(tensor)} rows hold NaN or infinity, the first is "
            f"row {first}; a ranking of them would mean nothing. Did the training diverge, or "
            "does half precision overflow? Look at the loss, or embed in float32"
        )
    return tensor


def embedding_pair(q_emb: Matrix, g_emb: Matrix, metric: Metric) -> tuple[Tensor, Tensor]:
    """Query and gallery embeddings, (Q, D) and (G, D), both on the device of the queries.

    Raises:
        ValueError: as `embeddings`, or of different dimensions, or an unknown metric.
    """
    one_of("metric", metric, METRICS)
    queries, gallery = embeddings("q_emb", q_emb), embeddings("g_emb", g_emb)
    if queries.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"q_emb has {queries.shape[1]} dimensions and g_emb {gallery.shape[1]}: both must come "
            "from the same model"
        )
    return queries, gallery.to(queries.device)


def few_queries(q_emb: Matrix) -> Tensor:
    """The same for queries, where (D,) is one."""
    rows = q_emb if isinstance(q_emb, Tensor) else as_array("q_emb", q_emb)
    return embeddings("q_emb", rows[None] if rows.ndim == 1 else rows)


def distance_matrix(values: Matrix) -> NDArray[np.floating] | Tensor:
    """Distances as a (Q, G) float32 or float64 array, no copy where it is one already.

    A tensor on a GPU stays there.

    Raises:
        TypeError: half precision: its ties change the AP.
        ValueError: not two-dimensional, no queries or no gallery.
    """
    array: NDArray[Any] | Tensor
    if isinstance(values, Tensor):
        array = values.detach()
    else:
        array = as_array("distances", values)
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
    name = str(array.dtype).removeprefix("torch.")
    if name in ("float16", "bfloat16"):
        raise TypeError(
            f"distances are {name}: rounding makes ties between different images and changes the "
            "AP; compute them in float32 (evaluate() does so from embeddings of any precision)"
        )
    if isinstance(array, Tensor) and array.device.type != "cuda":
        array = array.cpu().numpy()
    if array.ndim != 2:
        raise ValueError(f"distances has shape {tuple(array.shape)}, expected (queries, gallery)")
    _some_rows("distances (query side)", array.shape[0])
    _some_rows("distances (gallery side)", array.shape[1])
    if name in ("float32", "float64"):
        return array
    if isinstance(array, Tensor):
        return array.double()
    if array.dtype.kind not in "iub":
        raise TypeError(f"distances holds {array.dtype}, expected float32 or float64")
    return array.astype(np.float64)


def whole_number(name: str, value: Any, least: int | None = None, advice: str = "") -> int:
    """A Python integer, from one of Python's or NumPy's.

    Raises:
        TypeError: no whole number; 3.0 and True are none either.
        ValueError: below `least`; `advice` ends the message.
    """
    number = None
    with suppress(TypeError):
        number = operator.index(value)
    if number is None or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}, expected a whole number")
    if least is not None and number < least:
        raise ValueError(f"{name} is {number}, expected at least {least}{advice}")
    return number


def check_level(level: float) -> None:
    """Raise a ValueError unless this is the level of an interval."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, expected a share between 0 and 1, such as 0.95")


def one_of(name: str, value: object, choices: Iterable[str]) -> None:
    """Raise a ValueError that lists the choices if a name is none of them."""
    names = list(choices)
    if value not in names:
        raise ValueError(f"unknown {name} {value!r}: choose one of {', '.join(names)}")


def as_array(name: str, values: ArrayLike) -> NDArray[Any]:
    """`numpy.asarray`, with a ValueError that names what has rows of different lengths."""
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"{name} makes no array, expected rows of one length; does an image lack some values?"
        ) from error


def _is_floating(rows: Tensor | NDArray[Any]) -> bool:
    if isinstance(rows, Tensor):
        return rows.is_floating_point()
    return rows.dtype.kind == "f" and rows.dtype.itemsize <= 8  # torch has no longer ones


def _tensor(array: NDArray[Any]) -> Tensor:
    """Without a copy where torch can do without: it wants bytes in the machine's order, memory it
    may write to, and no steps backwards."""
    if min(array.strides) < 0:
        array = array.copy()
    native = array.dtype.newbyteorder("=")
    return torch.from_numpy(np.require(array, native, ["WRITEABLE", "ALIGNED"]))


def _some_rows(name: str, rows: int) -> None:
    if rows == 0:
        raise ValueError(
            f"{name} has no rows, expected at least one image; is the table it came from empty "
            "(a filter on pid, camera or modality that kept nothing)?"
        )
