"""The layouts that a world can be written in, one module each; see `base` for what one is."""

from . import (
    cuhk03,
    dukemtmc,
    folder,
    market1501,
    msmt17,
    occluded_duke,
    pku_reid,
    randperson,
    regdb,
    sysu_mm01,
    veri776,
)
from .base import Layout

LAYOUTS: dict[str, Layout] = {
    "market1501": market1501.LAYOUT,
    "dukemtmc": dukemtmc.LAYOUT,
    "occluded-duke": occluded_duke.LAYOUT,
    "msmt17": msmt17.LAYOUT,
    "cuhk03-np": cuhk03.LAYOUT,
    "cuhk03-classic": cuhk03.LAYOUT,
    "veri776": veri776.LAYOUT,
    "randperson": randperson.LAYOUT,
    "sysu-mm01": sysu_mm01.LAYOUT,
    "regdb": regdb.LAYOUT,
    "pku-reid": pku_reid.LAYOUT,
    "folder": folder.LAYOUT,
}
