"""The one door: `open_dataset(name, root)`."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reidlab.data.cuhk03 import open_cuhk03_classic, open_cuhk03_np
from reidlab.data.dataset import ReIDDataset
from reidlab.data.dukemtmc import open_dukemtmc
from reidlab.data.errors import DatasetError, DatasetWarning
from reidlab.data.folder import open_folder
from reidlab.data.market1501 import open_market1501
from reidlab.data.msmt17 import open_msmt17
from reidlab.data.occluded_duke import open_occluded_duke
from reidlab.data.pku_reid import open_pku_reid
from reidlab.data.randperson import open_randperson
from reidlab.data.regdb import open_regdb
from reidlab.data.sysu_mm01 import open_sysu_mm01
from reidlab.data.veri776 import open_veri776

READERS: dict[str, Callable[..., ReIDDataset]] = {
    "market1501": open_market1501,
    "dukemtmc": open_dukemtmc,
    "occluded-duke": open_occluded_duke,
    "msmt17": open_msmt17,
    "cuhk03-np": open_cuhk03_np,
    "cuhk03-classic": open_cuhk03_classic,
    "veri776": open_veri776,
    "randperson": open_randperson,
    "sysu-mm01": open_sysu_mm01,
    "regdb": open_regdb,
    "pku-reid": open_pku_reid,
    "folder": open_folder,
}


def list_datasets() -> list[str]:
    """Names that `open_dataset` can read; `data_catalogue()` says more of each."""
    return list(READERS)


def open_dataset(name: str, root: str | Path, **options: Any) -> ReIDDataset:
    """Read a data set from disk into tables. No image is opened, nothing is written.

    What each set's folder looks like and what may be wrong with it stands in the modules named
    after the sets; `data_help(name)` says how to come by one.

    Args:
        name: one of `list_datasets()`; a synthetic set in the same layout is opened by the same
            name.
        root: the folder; where it is the wrong one the error says which to pass.
        options: by set:
            msmt17: val="in" | "out" (with or without list_val in training), version="V1" | "V2";
            cuhk03-np: boxes="detected" | "labeled", source="auto" | "mat" | "json";
            cuhk03-classic: the same and split=0 to 19;
            sysu-mm01: mode="all" | "indoor", shots=1 | 10, trial=0 to 9 or None (the whole pool,
            see `draw_gallery`), draw="agw" | "official";
            regdb: trial=1 to 10, mode="visible-thermal" | "thermal-visible";
            pku-reid: split="all_imgs" | "la-tf-pp" | "57-57" | "official", or, to cross-validate,
            fold=1 to n of folds=n;
            veri776: views="all" | "known" (without images of unknown viewpoint, as TransReID);
            folder: train_fraction=0.5.

    Returns:
        Tables `train`, `query` and `gallery`. Where counts differ from the published ones the
        difference is in `describe()` and in `warnings`; names that were left out are in `foreign`.

    Raises:
        DatasetError: an unknown name or option, or a folder that cannot be this data set.

    Example:
        ds = open_dataset("market1501", "data/synthetic")
        ds.train.groupby("camid").size()
    """
    if not isinstance(name, str) or name not in READERS:
        raise DatasetError(f"unknown data set {name!r}: reidlab reads {', '.join(list_datasets())}")
    reader = READERS[name]
    allowed = list(inspect.signature(reader).parameters)[1:]
    unknown = [option for option in options if option not in allowed]
    if unknown:
        raise DatasetError(
            f"{name} has no option {', '.join(unknown)}: expected "
            f"{', '.join(allowed) or 'no options'}"
        )
    try:
        ds = reader(root, **options)
    except OSError as error:  # whatever of the folder may not be read, or goes away meanwhile
        raise DatasetError(
            f"cannot read {name} at {root} ({error}): allow yourself to read the folder and all in "
            "it, or copy it again"
        ) from error
    for text in (*ds.warnings, *ds.notes):
        warnings.warn(f"{name} at {ds.root}: {text}", DatasetWarning, stacklevel=2)
    return ds
