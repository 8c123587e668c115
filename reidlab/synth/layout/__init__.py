"""The layouts that a world can be written in, one module each; see `base` for what one is."""

from reidlab.synth.layout import (
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
from reidlab.synth.layout.base import Layout

_MODULES = {
    "market1501": market1501, "dukemtmc": dukemtmc, "occluded-duke": occluded_duke,
    "msmt17": msmt17, "cuhk03-np": cuhk03, "cuhk03-classic": cuhk03, "veri776": veri776,
    "randperson": randperson, "sysu-mm01": sysu_mm01, "regdb": regdb, "pku-reid": pku_reid,
    "folder": folder,
}  # fmt: skip
LAYOUTS: dict[str, Layout] = {name: Layout.of(module) for name, module in _MODULES.items()}
