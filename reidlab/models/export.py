"""Our weights elsewhere: as a file that timm loads under a name of its own."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save

from reidlab.files import write_bytes
from reidlab.models.pretrained import SYNTH_BACKBONE, grid_metadata, load_weights
from reidlab.models.vit import TokenBackbone


def export_timm(
    path: str | Path,
    *,
    weights: str | Path = "synth",
    weights_grid: tuple[int, int] | None = None,
    backbone: str = SYNTH_BACKBONE,
    image_size: tuple[int, int] = (224, 224),
) -> Path:
    """Write a backbone's weights so that timm's model of that name takes them, key by key.

    `timm.create_model(backbone, num_classes=0, img_size=image_size, checkpoint_path=path)` gives
    the features of our backbone at that size. Its images are normalised by 0.5 and 0.5 where the
    weights are "synth" or "plain".

    Args:
        path: The `.safetensors` file to write.
        weights: As in `load_weights`; of a whole model of ours the backbone is written.
        weights_grid: The `grid` of `load_weights`.
        backbone: timm's name, with a tag or without.
        image_size: Height and width of the images, pixels; the positions are resized to them.

    Returns:
        The path.

    Raises:
        ValueError: If the suffix is another, or name or size make no sense.
        WeightsError: If the weights are missing or do not fit.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path} is to be a .safetensors file; timm tells a format by its suffix.")
    vit = TokenBackbone(backbone, image_size)
    load_weights(vit, weights, weights_grid)
    metadata = {"format": "pt", **grid_metadata(vit)}
    return write_bytes(path, save(vit.state_dict(), metadata=metadata))
