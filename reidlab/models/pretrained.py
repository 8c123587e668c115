"""Where a backbone's first weights come from: the shipped file, timm, a file of yours, or nowhere.

Loading is strict. A key the backbone does not know, a key the file lacks or a tensor of another
size is an error that names it; half-loaded backbones train quietly to half the accuracy.
Two differences are bridged, because they are what fine-tuning is about: the position embedding is
resized to the backbone's grid, and ImageNet's classifier is left out.
"""

from __future__ import annotations

import math
from importlib.resources import as_file, files
from pathlib import Path

import timm
import torch
from safetensors import safe_open
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from reidlab.models.vit import TokenBackbone, patch_grid, resize_pos_embed

SYNTH_BACKBONE = "vit_tiny_patch16_224"
SYNTH_FILE = "vit_tiny_synth.safetensors"
CLASSIFIERS = ("head.", "fc.", "pre_logits.")  # of an ImageNet file: other classes, other task


class WeightsError(Exception):
    """The weights cannot be found or do not fit the backbone."""


def load_weights(backbone: TokenBackbone, weights: str | Path | None) -> None:
    """Fill a backbone in place.

    Args:
        backbone: The backbone; its random weights are overwritten.
        weights: "synth" (shipped, ViT-Tiny/16 trained on synthetic people), "timm" (pre-trained,
            from the Hugging Face hub or its local cache), a path to a `.safetensors` or `.pth`
            file (timm's key names, or a model of ours, of which the backbone is taken), or None
            (leave the random weights).

    Raises:
        WeightsError: If the file is missing or does not fit.
    """
    if weights is None:
        return
    if weights == "synth":
        state, grid, source = _from_synth(backbone)
    elif weights == "timm":
        state, grid, source = _from_timm(backbone)
    else:
        state, grid, source = _from_file(Path(weights))
    _copy(backbone, _backbone_part(state), grid, source)


def grid_metadata(backbone: TokenBackbone) -> dict[str, str]:
    """What a weights file must say about itself, so that its positions can be read again."""
    return {
        "backbone": backbone.name,
        "image_size": f"{backbone.image_size[0]},{backbone.image_size[1]}",
        "patch_size": str(backbone.patch_size),
        "stride": str(backbone.stride),
    }


Source = tuple[dict[str, Tensor], tuple[int, int] | None, str]  # tensors, grid if known, its name


def _from_synth(backbone: TokenBackbone) -> Source:
    if backbone.name.split(".")[0] != SYNTH_BACKBONE:
        raise WeightsError(
            f"weights='synth' exist for {SYNTH_BACKBONE} only, the backbone is {backbone.name}. "
            "Pass weights='timm', a path, or None."
        )
    resource = files("reidlab") / "weights" / SYNTH_FILE
    if not resource.is_file():
        raise WeightsError(
            f"weights='synth': the file reidlab/weights/{SYNTH_FILE} is not in this installation. "
            "Get a complete copy of the repository, or pass weights=None (random weights), "
            "'timm' or a path."
        )
    with as_file(resource) as path:
        return _from_file(path)


def _from_timm(backbone: TokenBackbone) -> Source:
    try:
        model = timm.create_model(backbone.name, pretrained=True, num_classes=0)
    except (OSError, RuntimeError) as error:
        hub = timm.get_pretrained_cfg(backbone.name)
        where = hub.hf_hub_id if hub is not None and hub.hf_hub_id else f"timm/{backbone.name}"
        raise WeightsError(
            f"weights='timm': the weights of {backbone.name} could not be downloaded and are not "
            "in the local cache. On a machine with internet fetch model.safetensors of "
            f"{where} from the Hugging Face hub, copy it here and pass "
            "weights='path/to/model.safetensors'."
        ) from error
    assert isinstance(model, VisionTransformer)  # TokenBackbone took nothing else
    rows, columns = model.patch_embed.grid_size
    return model.state_dict(), (rows, columns), f"timm's {backbone.name}"


def _from_file(path: Path) -> Source:
    if not path.is_file():
        raise WeightsError(
            f"weights={str(path)!r}: there is no such file. Expected 'synth', 'timm', None, or the "
            "path of a .safetensors or .pth file."
        )
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return state, _grid_of(file.metadata() or {}), path.name
    loaded = torch.load(path, map_location="cpu", weights_only=True)  # runs no code of the file
    for wrapper in ("state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise WeightsError(f"{path.name} holds no state dict; expected names with one tensor each.")
    return loaded, None, path.name


def _grid_of(metadata: dict[str, str]) -> tuple[int, int] | None:
    if "image_size" not in metadata or "patch_size" not in metadata:
        return None
    height, width = (int(side) for side in metadata["image_size"].split(","))
    patch = int(metadata["patch_size"])
    return patch_grid((height, width), patch, int(metadata.get("stride", patch)))


def _backbone_part(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The backbone of a whole model of ours, or a ViT without its ImageNet classifier."""
    prefix = "backbone."
    if any(key.startswith(prefix) for key in state):
        return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    return {key: value for key, value in state.items() if not key.startswith(CLASSIFIERS)}


def _copy(
    backbone: TokenBackbone, state: dict[str, Tensor], grid: tuple[int, int] | None, source: str
) -> None:
    own = backbone.state_dict()
    unknown = sorted(k for k in state if k not in own and not _beyond_depth(k, backbone.depth))
    missing = sorted(k for k in own if k not in state and k != "sie_embed")
    if unknown or missing:
        raise WeightsError(
            f"{source} does not fit {backbone.name}: unknown keys {_some(unknown)}, missing keys "
            f"{_some(missing)}. Expected timm's names of a ViT with {backbone.depth} blocks."
        )
    state = {key: state[key] for key in own if key in state}
    if "pos_embed" in state:
        old = grid or _guess_grid(state["pos_embed"].shape[1] - 1, backbone.grid, source)
        if state["pos_embed"].shape[1] - 1 != old[0] * old[1]:
            raise WeightsError(
                f"{source} says its grid is {old[0]}x{old[1]} but holds positions for "
                f"{state['pos_embed'].shape[1] - 1} patches; the file is damaged."
            )
        state["pos_embed"] = resize_pos_embed(state["pos_embed"], old, backbone.grid)
    wrong = [
        f"{key} {tuple(value.shape)} instead of {tuple(own[key].shape)}"
        for key, value in state.items()
        if value.shape != own[key].shape
    ]
    if wrong:
        raise WeightsError(
            f"{source} does not fit {backbone.name}: {_some(wrong)}. Is it another size of ViT, or "
            "another number of cameras?"
        )
    backbone.load_state_dict(state, strict=False)  # lacks at most sie_embed, see above


def _beyond_depth(key: str, depth: int) -> bool:
    """Whether a key belongs to a block that this shortened backbone does not have."""
    parts = key.split(".")
    return parts[0] == "blocks" and len(parts) > 2 and parts[1].isdigit() and int(parts[1]) >= depth


def _guess_grid(patches: int, own: tuple[int, int], source: str) -> tuple[int, int]:
    """Grid of a file that does not say: square, as ImageNet's are, else the backbone's own."""
    side = math.isqrt(patches)
    if side * side == patches:
        return side, side
    if patches == own[0] * own[1]:
        return own
    raise WeightsError(
        f"{source} holds positions for {patches} patches, which is neither a square nor the "
        f"{own[0]}x{own[1]} grid of this backbone. Save it as .safetensors with metadata "
        "image_size='H,W' and patch_size='P', so that the positions can be resized."
    )


def _some(names: list[str], most: int = 5) -> str:
    if not names:
        return "none"
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
