"""Where a backbone's first weights come from: the shipped file, timm, a file of yours, or nowhere.

Loading is strict. A key the backbone does not know, a key the file lacks or a tensor of another
size is an error that names it; half-loaded backbones train quietly to half the accuracy.
Two differences are bridged, because they are what fine-tuning is about: the position embedding is
resized to the backbone's grid, and what another task added is left out, such as ImageNet's
classifier. In a whole model, or what a training program saved, the backbone is found by its names.
"""

from __future__ import annotations

import math
import re
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import timm
from huggingface_hub import constants as hub
from timm.models import load_state_dict_from_hf
from torch import Tensor

from reidlab.models.backbones import BACKBONES, SHIPPED, name_the_tags
from reidlab.models.resnet import ConvBackbone
from reidlab.models.vit import TokenBackbone, patch_grid, resize_pos_embed
from reidlab.models.weights_file import WeightsError, compare_state, read_weights

SYNTH_BACKBONE = "vit_tiny_patch16_224"
HF_WEIGHTS = "pytorch_model.bin"  # or the .safetensors beside it, which timm prefers
# Of another task, or of another pooling: other classes; the decoder of MAE, the masks of DINOv2
OTHER_TASKS = (
    *("head.", "head_dist.", "fc.", "classifier.", "pre_logits.", "fc_norm.", "attn_pool."),
    *("decoder_", "mask_token"),
)


class Source(NamedTuple):
    """Weights before they are fitted: tensors, what is known of their positions, their name."""

    state: dict[str, Tensor]
    grid: tuple[int, int] | None
    prefix: int | None
    name: str


def load_weights(
    backbone: TokenBackbone | ConvBackbone,
    weights: str | Path | None,
    grid: tuple[int, int] | None = None,
) -> None:
    """Fill a backbone in place.

    Args:
        backbone: The backbone; its random weights are overwritten.
        weights: "synth" (shipped, ViT-Tiny/16 trained on synthetic people), "plain" (shipped, the
            same network, never asked who somebody is), "timm" (pre-trained, from the Hugging Face
            hub or its local cache; the backbone's name must say which checkpoint), a path, or None
            (leave the random weights). A `.safetensors` or `.pth` file has timm's key names below
            any others, see `pick_weights`: of a whole model, or of what a program saved, the
            backbone is taken.
        grid: Rows and columns of patches that the file's positions were learned on, for a file that
            does not say: most say nothing, and 64 positions are 8 x 8 of square images or 16 x 4 of
            tall ones. None: as the file says; else the backbone's own if the number is the same, or
            a square.

    Raises:
        WeightsError: If the file is missing, damaged or does not fit; nothing is loaded then.

    Warns:
        UserWarning: If positions are taken for a square that is not that of the backbone's name.
    """
    if weights is None:
        return
    if weights in SHIPPED:
        source = _from_shipped(backbone, str(weights))
    elif weights == "timm":
        source = _from_timm(backbone)
    else:
        source = _from_file(backbone, Path(weights).expanduser())
    kept = {key: value for key, value in source.state.items() if not key.startswith(OTHER_TASKS)}
    _copy(backbone, source._replace(state=kept, grid=_agreed(backbone, source, grid)))


def shipped_weights(name: str = "synth") -> Path:
    """The file that weights="synth" or "plain" means."""
    return Path(__file__).parents[1] / "weights" / SHIPPED[name]


def grid_metadata(backbone: TokenBackbone) -> dict[str, str]:
    """What a weights file must say about itself, so that its positions can be read again."""
    return {
        "backbone": backbone.name,
        "image_size": f"{backbone.image_size[0]},{backbone.image_size[1]}",
        "patch_size": str(backbone.patch_size),
        "stride": str(backbone.stride),
        "prefix_positions": str(backbone.prefix_positions),
    }


def _from_shipped(backbone: TokenBackbone | ConvBackbone, weights: str) -> Source:
    if backbone.name.split(".")[0] != SYNTH_BACKBONE:
        raise WeightsError(
            f"weights={weights!r} exist for {SYNTH_BACKBONE} only, the backbone is "
            f"{backbone.name}. Pass weights='timm', a path, or None."
        )
    path = shipped_weights(weights)
    if not path.is_file():
        raise WeightsError(
            f"weights={weights!r}: the file reidlab/weights/{path.name} is not in this "
            "installation. Get a complete copy of the repository, or pass weights=None (random "
            "weights), 'timm' or a path."
        )
    return _from_file(backbone, path)


def _from_timm(backbone: TokenBackbone | ConvBackbone) -> Source:
    """The checkpoint that the backbone's tag names, loaded by timm, all of it."""
    name = backbone.name
    if name in BACKBONES and BACKBONES[name].weights == "path":
        raise WeightsError(
            f"weights='timm': timm has no {name}. Get {BACKBONES[name].file} from its authors "
            "(github.com/XingangPan/IBN-Net, release v1.0) and pass its path."
        )
    if "." not in name:
        raise WeightsError(
            f"weights='timm': {name!r} does not say which checkpoint, and what timm takes then "
            f"has changed over the years; add the tag to the backbone's name. {name_the_tags(name)}"
        )
    config = timm.get_pretrained_cfg(name)
    assert config is not None  # the tag was checked when the backbone was built
    model: Any
    try:  # with the file's own number of classes: with another timm would accept missing keys
        model = timm.create_model(name, pretrained=True, num_classes=config.num_classes)
    except Exception as error:  # of the hub, of its network library, or of torch
        raise _not_loaded(name, error) from error
    grid = model.patch_embed.grid_size if isinstance(backbone, TokenBackbone) else None
    return Source(model.state_dict(), grid, None, f"timm's {name}")


def fetch_timm(name: str) -> None:
    """Bring a checkpoint of timm into the hub's cache, unless it is there; no network is built.

    Raises:
        WeightsError: If it is not there and cannot be had.
    """
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id:
        return  # whoever loads it says what is wrong
    try:
        load_state_dict_from_hf(config.hf_hub_id, config.hf_hub_filename or HF_WEIGHTS)
    except Exception as error:  # of the hub, of its network library, or of torch
        raise _not_loaded(name, error) from error


def _not_loaded(name: str, error: Exception) -> WeightsError:
    reason = (str(error).strip().splitlines() or [""])[0]
    config = timm.get_pretrained_cfg(name)
    assert config is not None  # the tag was checked when the backbone was built
    return WeightsError(
        f"weights='timm': the weights of {name} could not be loaded "
        f"({type(error).__name__}: {reason}). {_how_to_fetch(config)}"
    )


def _how_to_fetch(config: timm.models.PretrainedCfg) -> str:
    """How to bring a checkpoint of timm to a machine without a network."""
    if not config.hf_hub_id:
        return f"On a machine with a network get {config.url}, copy it here and pass its path."
    file = config.hf_hub_filename or "model.safetensors"
    return (
        f"Without a network: on a machine that has one get the file {file} of {config.hf_hub_id} "
        f"from the Hugging Face hub (`hf download {config.hf_hub_id} {file}`), copy it here and "
        f"pass weights='path/to/{file}'. Or copy the whole folder "
        f"models--{config.hf_hub_id.replace('/', '--')} of its cache into this one's: "
        f"{hub.HF_HUB_CACHE} (the environment variable HF_HUB_CACHE moves it; HF_HUB_OFFLINE=1 "
        "spares you the hub's waiting)."
    )


def _from_file(backbone: TokenBackbone | ConvBackbone, path: Path) -> Source:
    read = read_weights(path, knows=backbone.state_dict().__contains__)
    said, grid = read.metadata, None
    if "image_size" in said and "patch_size" in said:
        height, width = map(int, said["image_size"].split(","))
        patch = int(said["patch_size"])
        grid = patch_grid((height, width), patch, int(said.get("stride", patch)))
    prefix = said.get("prefix_positions")
    return Source(read.state, grid, None if prefix is None else int(prefix), read.source)


def _agreed(
    backbone: TokenBackbone | ConvBackbone, source: Source, asked: tuple[int, int] | None
) -> tuple[int, int] | None:
    """The grid of a file, as it says or as the caller does."""
    if asked is None:
        return source.grid
    if source.grid not in (None, tuple(asked)):
        raise WeightsError(
            f"{source.name} says its grid is {_by(source.grid)}, and grid={_by(asked)} was passed. "
            "Leave grid out."
        )
    positions = source.state.get("pos_embed")
    if positions is None or positions.ndim < 2 or not isinstance(backbone, TokenBackbone):
        raise WeightsError(
            f"{source.name} holds no learned positions of patches, and grid={_by(asked)} was "
            "passed. Leave grid out."
        )
    patches = positions.shape[1] - backbone.prefix_positions
    if patches != asked[0] * asked[1]:
        raise WeightsError(
            f"{source.name} holds positions for {patches} patches, and grid={_by(asked)} has "
            f"{asked[0] * asked[1]}. Pass rows and columns of the images it was trained on."
        )
    return asked[0], asked[1]


def _copy(backbone: TokenBackbone | ConvBackbone, source: Source) -> None:
    own, name = backbone.state_dict(), source.name
    state = {k: v for k, v in source.state.items() if not _beyond_depth(k, backbone.depth)}
    # ImageNet has no cameras, and files before PyTorch 0.4.1 no counter
    may_lack = ("sie_embed", "num_batches_tracked")
    state = {key: value for key, value in own.items() if key.endswith(may_lack)} | state
    learned, wanted = state.get("pos_embed"), own.get("pos_embed")
    fits = learned is not None and wanted is not None and learned.shape[::2] == wanted.shape[::2]
    if fits:
        state["pos_embed"] = own["pos_embed"]  # of the right size, once all else fits
    if difference := compare_state(own, state):
        kind = (
            f"timm's names of a ViT with {backbone.depth} blocks"
            if isinstance(backbone, TokenBackbone)
            else f"torchvision's names of a ResNet up to layer {backbone.depth}, and IBN-Net's"
        )
        raise WeightsError(
            f"{name} does not fit {backbone.name}: {difference}. Expected {kind}; where sizes "
            "differ, is it another size of network or of patches, or another number of cameras or "
            "channels?"
        )
    if fits and isinstance(backbone, TokenBackbone):
        state["pos_embed"] = _fitted_positions(backbone, source)
    backbone.load_state_dict(state)


def _fitted_positions(backbone: TokenBackbone, source: Source) -> Tensor:
    """The positions of a file, resized to the grid of the backbone."""
    positions, prefix = source.state["pos_embed"], backbone.prefix_positions
    if source.prefix not in (None, prefix):
        raise WeightsError(
            f"{source.name} holds positions of {source.prefix} tokens before the patches, and "
            f"{backbone.name} has {prefix} there; is it of another kind of ViT?"
        )
    patches = positions.shape[1] - prefix
    grid = source.grid or _guess_grid(patches, backbone, source.name)
    if patches != grid[0] * grid[1]:
        raise WeightsError(
            f"{source.name} says its grid is {_by(grid)} but holds positions for {patches} "
            "patches; the file is damaged."
        )
    return resize_pos_embed(positions, grid, backbone.grid, prefix=prefix)


def _beyond_depth(key: str, depth: int) -> bool:
    """Whether a key belongs to a block or stage that this shortened backbone does not have."""
    block = re.match(r"blocks\.(\d+)\.", key)  # counted from 0
    stage = re.match(r"layer(\d+)\.", key)  # counted from 1
    return bool(block and int(block[1]) >= depth) or bool(stage and int(stage[1]) > depth)


def _guess_grid(patches: int, backbone: TokenBackbone, source: str) -> tuple[int, int]:
    """Grid of a file that does not say: the backbone's own, else square, as ImageNet's are."""
    own, side = backbone.grid, math.isqrt(patches)
    square, same = side * side == patches, patches == own[0] * own[1]
    holds = f"{source} holds positions for {patches} patches"
    if same and (own[0] == own[1] or not square):
        return own
    if square and not same:
        if (side, side) != backbone.usual_grid:
            warnings.warn(
                f"{holds} and does not say on which grid; {side}x{side} is taken, of square "
                "images. If it was trained on tall ones, pass its rows and columns as grid "
                "(weights_grid in a recipe).",
                stacklevel=2,
            )
        return side, side
    found = "neither a square nor" if not same else f"a {side}x{side} square or"
    raise WeightsError(
        f"{holds}, which is {found} the {_by(own)} grid of this backbone. Pass the rows and "
        "columns that it was trained on as grid (weights_grid in a recipe), so that the positions "
        "can be resized; or save it as .safetensors with metadata image_size='H,W' and "
        "patch_size='P'."
    )


def _by(grid: tuple[int, int] | None) -> str:
    return "x".join(map(str, grid or ()))
