"""A Vision Transformer that returns its tokens: the backbone of every model in the book.

The layers are timm's own: its `VisionTransformer` (ViT, DeiT, CLIP, DINOv2) or its `Eva` (DINOv3,
EVA-CLIP, whose positions are rotary). This file adds what re-identification needs around them:

* class and patch tokens of any layer, not one pooled vector (GLTrans reads layers 10, 11, 12);
* patches that overlap: any stride, TransReID's "*" rows use 12 with patches of 16;
* position embeddings resized to the grid of the image at hand;
* a learned vector per camera, viewpoint or both, added to the tokens (TransReID's side information
  embedding).

He et al., "TransReID: Transformer-based Object Re-Identification", ICCV 2021 (arXiv 2102.04378),
sections 3.1 and 3.3. State-dict names are timm's own, so that a timm file loads without renaming;
the table of side information is `sie_embed`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache, partial
from typing import Any, ClassVar, NamedTuple

import timm
import torch
import torch.nn.functional as F
from timm.layers import PatchEmbed, use_fused_attn
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from reidlab.models.backbones import Sides, check_drop_path, check_input, check_tag

SIE_WEIGHT = 3.0  # λ (TransReID code: 3.0 in every configuration)
SIE_STD = 0.02  # of the truncated normal the table starts from (TransReID code)


class Tokens(NamedTuple):
    """What a backbone sees in a batch of B images on an h x w grid of patches.

    P prefix tokens stand before the patches: the class token, then register tokens where a
    backbone has some (DINOv2 "reg4": P = 5); P = 1 for a plain ViT.

    Attributes:
        cls: Class token after the final norm, (B, D).
        patches: Patch tokens after the final norm, row by row, (B, h*w, D).
        layers: The raw residual stream after block l for each layer l that was asked for,
            1-based; class token first, before any norm, (B, P + h*w, D).
    """

    cls: Tensor
    patches: Tensor
    layers: dict[int, Tensor]


def token_views(
    tokens: tuple[Tensor, Tensor], grid: tuple[int, int], rows: int | None = None
) -> dict[str, Tensor]:
    """Three descriptions of an image from its tokens after the final norm.

    Args:
        tokens: class token (B, D) and patch tokens (B, h*w, D).
        grid: (h, w).
        rows: R, how many row means to take; default h, and others are interpolated between rows.

    Returns:
        "class" (B, D), "pooled" (B, D), "rows" (B, R*D).
    """
    cls, patches = tokens
    means = patches.unflatten(1, grid).mean(dim=2)  # (B, h, D)
    if rows is not None and rows != grid[0]:
        means = F.interpolate(means.transpose(1, 2), size=rows, mode="linear").transpose(1, 2)
    return {"class": cls, "pooled": patches.mean(dim=1), "rows": means.flatten(1)}


class TokenBackbone(nn.Module):
    """timm's Vision Transformer with any patch stride, resized positions and a camera embedding.

    Args:
        name: A ViT of timm with a class token and a final norm; registers, LayerScale, a norm
            before the blocks and axial rotary positions are taken as they are.
        image_size: Height and width of the images in pixels; every image must have it.
        stride: Pixels between two patches; None means the patch size (no overlap).
        num_cameras: K, for a vector of each camera; (K, V) for one of each camera from each of V
            viewpoints, in row camera * V + view; (0, V) for one of each viewpoint; 0: none.
        depth: Keep only the first `depth` blocks; None means all of them.
        drop_path: Stochastic depth of the last block; it grows linearly from 0 at the first.

    Raises:
        ValueError: If the name is not such a ViT, or a size makes no sense.
    """

    returns: ClassVar = "the tokens of a ViT, such as 'vit_base_patch16_224'"

    def __init__(
        self,
        name: str = "vit_tiny_patch16_224",
        image_size: tuple[int, int] = (192, 96),
        *,
        stride: int | None = None,
        num_cameras: Sides = 0,
        depth: int | None = None,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.name = name
        self.image_size = (int(image_size[0]), int(image_size[1]))
        self.patch_size, self.usual_grid = _patches(name)
        self.stride = self.patch_size if stride is None else int(stride)
        self.grid = patch_grid(self.image_size, self.patch_size, self.stride)
        vit = _timm_vit(name, self.grid, self.patch_size, depth, drop_path)

        self.patch_embed = vit.patch_embed
        self.patch_embed.proj.stride = (self.stride, self.stride)
        self.patch_embed.img_size = self.image_size  # timm would compute the grid without overlap
        assert vit.cls_token is not None  # see _patches
        self.cls_token: nn.Parameter = vit.cls_token  # (1, 1, D)
        self.reg_token: nn.Parameter | None = vit.reg_token  # (1, P - 1, D)
        self.pos_embed: Any = vit.pos_embed  # (1, prefix_positions + h*w, D), or None: rotary
        self.rope: Any = getattr(vit, "rope", None)  # DINOv3: the angles of this grid
        self.norm_pre = vit.norm_pre
        self.blocks = vit.blocks
        choose_attention(self.blocks)
        self.norm = vit.norm
        self.embed_dim: int = vit.embed_dim
        self.num_prefix_tokens: int = vit.num_prefix_tokens
        self.gradient_checkpointing = False  # set it True: blocks run again in the backward pass
        # DINOv2 with registers and DeiT III give learned positions to patches only
        own = self.pos_embed is not None and not vit.no_embed_class
        self.prefix_positions: int = self.num_prefix_tokens if own else 0
        sides = (num_cameras, 0) if isinstance(num_cameras, int) else num_cameras
        self.num_cameras, self.num_views = map(int, sides)
        self.sie_embed: nn.Parameter | None = None
        if min(self.num_cameras, self.num_views) < 0:
            raise ValueError(
                f"num_cameras is {num_cameras}; expected 0 (no camera embedding) or more."
            )
        if self.num_cameras or self.num_views:
            rows = max(self.num_cameras, 1) * max(self.num_views, 1)
            self.sie_embed = nn.Parameter(torch.empty(rows, 1, self.embed_dim))
            nn.init.trunc_normal_(self.sie_embed, std=SIE_STD)

    @property
    def depth(self) -> int:
        """Number of transformer blocks."""
        return len(self.blocks)

    def forward(
        self, images: Tensor, camids: Tensor | None = None, layers: tuple[int, ...] = ()
    ) -> Tokens:
        """Run the transformer.

        Args:
            images: Normalised images, (B, 3, H, W).
            camids: 0-based rows of the table, (B,); needed when there is one, else ignored. Those
                of a table of cameras are the cameras; `reidlab.judging.with_rows` finds any.
            layers: 1-based layers whose residual stream is returned as well.

        Raises:
            ValueError: If the images have another size, a layer does not exist, or a camera is
                missing from the table.
        """
        x, taps = self.residual(images, camids, layers)
        x = self.norm(x)
        return Tokens(x[:, 0], x[:, self.num_prefix_tokens :], taps)

    def residual(
        self,
        images: Tensor,
        camids: Tensor | None = None,
        layers: tuple[int, ...] = (),
        *,
        depth: int | None = None,
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """The residual stream after the first `depth` blocks, (B, P + h*w, D), and `layers` of it.

        Args:
            images: As in `forward`, which raises the same errors.
            camids: Likewise.
            layers: Likewise, up to `depth`.
            depth: How many blocks; None: all.
        """
        check_input(images, self.image_size, layers, self.depth)
        x = self._with_prefix(self.patch_embed(images))  # (B, P + N, D)
        if self.sie_embed is not None:
            x = x + SIE_WEIGHT * self._camera_rows(camids)  # every position, the class token too
        x = self.norm_pre(x)
        rotary = {} if self.rope is None else {"rope": self.rope.get_embed()}
        taps: dict[int, Tensor] = {}
        for layer, block in enumerate(self.blocks[:depth], start=1):
            x = self.run(block, x, **rotary)
            if layer in layers:
                taps[layer] = x
        return x, taps

    def run(self, block: nn.Module, x: Tensor, **options: Tensor) -> Tensor:
        """A block of this backbone on tokens (B, T, D); again in the backward pass where that is
        wanted (`gradient_checkpointing`)."""
        if self.gradient_checkpointing and torch.is_grad_enabled():
            # it restores the random numbers, so stochastic depth drops the same images again
            return checkpoint(partial(block, **options), x, use_reentrant=False)
        return block(x, **options)

    def _with_prefix(self, patches: Tensor) -> Tensor:
        """Class token, registers and patches (B, N, D) in one sequence (B, P + N, D)."""
        if self.pos_embed is not None and not self.prefix_positions:
            patches = patches + self.pos_embed
        own = [token for token in (self.cls_token, self.reg_token) if token is not None]
        prefix = [token.expand(patches.shape[0], -1, -1) for token in own]
        x = torch.cat([*prefix, patches], dim=1)
        return x + self.pos_embed if self.prefix_positions else x

    def _camera_rows(self, camids: Tensor | None) -> Tensor:
        assert self.sie_embed is not None
        if not self.num_cameras and not self.num_views:
            return self.sie_embed  # the mean
        rows, what = len(self.sie_embed), "row" if self.num_views else "camera"
        if camids is None:
            raise ValueError(
                f"this model has an embedding for {rows} {what}s and needs `camids`; pass the "
                f"{what} of each image, or build the model with num_cameras=0."
            )
        if torch.compiler.is_compiling():  # a graph to export holds no checks of values
            return self.sie_embed[camids]
        low, high = int(camids.min()), int(camids.max())
        if low < 0 or high >= rows:
            wrong = low if low < 0 else high
            raise ValueError(
                f"{what} {wrong} is not in the table of this model: it learned {what}s 0 to "
                f"{rows - 1}. An unseen camera has no embedding; call "
                "model.backbone.forget_cameras() to give every image the mean of the table, or "
                "build the model with a larger num_cameras before training, or with num_cameras=0."
            )
        return self.sie_embed[camids]  # (B, 1, D)

    def forget_cameras(self) -> None:
        """From here on every image gets the mean of the table: for cameras never trained on."""
        if self.sie_embed is not None:
            self.sie_embed = nn.Parameter(self.sie_embed.detach().mean(0, keepdim=True))
        self.num_cameras = self.num_views = 0


def choose_attention(blocks: Iterable[Any]) -> None:
    """Fused attention, but for half precision on a CPU, whose backward pass would then take half of
    a training.

    `benchmarks/bench_training.py` measures it; TIMM_FUSED_ATTN=2 in the environment has it fused.

    Args:
        blocks: timm's, with an `attn` each.
    """
    if use_fused_attn() and not use_fused_attn(experimental=True):
        for block in blocks:
            block.attn.register_forward_pre_hook(_choose_attention)


def _choose_attention(attention: Any, inputs: tuple[Tensor, ...]) -> None:
    half = torch.is_autocast_enabled("cpu") or inputs[0].dtype != torch.float32
    attention.fused_attn = not (half and inputs[0].device.type == "cpu")


def patch_grid(image_size: tuple[int, int], patch_size: int, stride: int) -> tuple[int, int]:
    """Rows and columns of patches: floor((size - patch) / stride) + 1, pixels throughout.

    Raises:
        ValueError: If the image is smaller than one patch or the stride is not positive.
    """
    if stride < 1:
        raise ValueError(f"stride is {stride}; expected at least 1 pixel.")
    if min(image_size) < patch_size:
        raise ValueError(
            f"image_size is {image_size[0]}x{image_size[1]}; each side must hold at least one "
            f"patch of {patch_size} pixels."
        )
    return (image_size[0] - patch_size) // stride + 1, (image_size[1] - patch_size) // stride + 1


def resize_pos_embed(
    pos_embed: Tensor, old_grid: tuple[int, int], new_grid: tuple[int, int], *, prefix: int = 1
) -> Tensor:
    """Resize learned positions bilinearly; those of the prefix tokens, which come first, are kept.

    No antialiasing and no aligned corners, as in TransReID (timm itself would do it bicubically).

    Args:
        pos_embed: (1, prefix + h*w, D) on the old grid.
        old_grid: Rows and columns it was learned on.
        new_grid: Rows and columns wanted.
        prefix: Positions before the patches': 1 is the class token's, 0 where it has none.

    Returns:
        (1, prefix + h'*w', D) on the new grid; the same tensor if the grid does not change.
    """
    if old_grid == new_grid:
        return pos_embed
    kept, patches = pos_embed[:, :prefix].float(), pos_embed[:, prefix:].float()
    patches = patches.reshape(1, *old_grid, -1).permute(0, 3, 1, 2)  # (1, D, h, w)
    patches = F.interpolate(patches, size=new_grid, mode="bilinear", align_corners=False)
    return torch.cat([kept, patches.flatten(2).transpose(1, 2)], dim=1)  # (1, prefix + h'w', D)


@lru_cache
def _patches(name: str) -> tuple[int, tuple[int, int]]:
    """Patch size, and grid at the usual image size, of a timm ViT that we can run.

    They are read from a model that costs no memory.
    """
    if not timm.is_model(name):
        raise ValueError(
            f"timm has no model {name!r}; expected a plain ViT such as 'vit_tiny_patch16_224' or "
            "'vit_base_patch16_224' (timm.list_models('vit_*patch*') lists them)."
        )
    check_tag(name)
    with torch.device("meta"):
        model: Any = timm.create_model(name, num_classes=0)
    if type(model) not in (VisionTransformer, Eva):  # a subclass has a forward of its own
        raise ValueError(
            f"{name!r} is a {type(model).__name__}; expected a plain ViT of timm, for example "
            "'vit_base_patch16_224'."
        )
    lacking = {
        "no patches of one convolution": type(model.patch_embed) is not PatchEmbed,
        "no class token (SigLIP and 'gap' models pool their patches)": model.cls_token is None,
        "no final norm over its tokens": isinstance(model.norm, nn.Identity),
        "rotary positions that differ from block to block": getattr(model, "rope_mixed", False),
    }
    for what, found in lacking.items():
        if found:
            raise ValueError(
                f"{name!r} has {what}; the models here read the class token and the patch tokens "
                "of one grid. Take for example 'vit_base_patch16_224', "
                "'vit_base_patch14_reg4_dinov2' or 'vit_base_patch16_dinov3'."
            )
    rows, columns = model.patch_embed.grid_size
    return int(model.patch_embed.patch_size[0]), (rows, columns)


def _timm_vit(
    name: str, grid: tuple[int, int], patch_size: int, depth: int | None, drop_path: float
) -> Any:
    """Build timm's ViT with random weights for a grid of patches."""
    check_drop_path(drop_path)
    if depth is not None and depth < 1:
        raise ValueError(f"depth is {depth}; expected at least one block.")
    options: dict[str, Any] = {} if depth is None else {"depth": depth}
    return timm.create_model(
        name,
        num_classes=0,
        img_size=(grid[0] * patch_size, grid[1] * patch_size),  # gives timm this very grid
        dynamic_img_size=False,  # one grid, so that patches come as a sequence
        drop_path_rate=drop_path,
        **options,
    )
