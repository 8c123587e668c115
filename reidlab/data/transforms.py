"""Augmentation and normalisation, as TransReID does them, on torchvision's v2 transforms.

Training: resize (bicubic), flip, pad with black and crop back, to a tensor, normalise, erase one
rectangle with noise; QAConv has other steps, see `build_transform`. Test: resize (bilinear), to a
tensor, normalise. (He et al., "TransReID: Transformer-based Object Re-Identification", ICCV 2021,
and its code.)
"""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

# A backbone sees the world as its pre-training did: mean and deviation per channel.
NORMALIZATIONS = {
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),  # ViT (augreg, ImageNet-21k), reidlab's own
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # DeiT, ResNet
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),  # pixels from 0 to 1 as they are: QAConv
}
REFERENCE_PAD, REFERENCE_HEIGHT = 10, 256  # TransReID: 10 pixels at 256x128
BLUR, BLUR_KERNEL = (0.1, 3.0), 21  # MIP, PMT: deviation and pixels, at 256x128
# (code of QAConv) degrees; factors of brightness, contrast, saturation; hue; of the shorter side
ROTATION, JITTER, HUE, OCCLUDED = 5.0, (0.5, 2.0), 0.1, 0.8
ERASED_AREA, ERASED_ASPECT = (0.02, 1 / 3), (0.3, 1 / 0.3)  # timm's defaults, TransReID uses them


def build_transform(
    image_size: tuple[int, int],
    *,
    train: bool,
    normalization: str = "half",
    pad: int | None = None,
    flip: float = 0.5,
    erasing: float = 0.5,
    interpolation: str = "bilinear",
    augmentation: str = "transreid",
) -> v2.Compose:
    """From a PIL image to a (3, H, W) float32 tensor.

    Args:
        image_size: (height, width) in pixels.
        train: with augmentation; without it `pad`, `flip` and `erasing` are not used.
        normalization: a name in `NORMALIZATIONS`; see `normalization_for`.
        pad: black pixels added on each side before the random crop. By default TransReID's 10 at
            a height of 256, in proportion: 8 at 192, 5 at 128, 9 at 224. With 10 on a small image
            a crop could lose a head.
        flip: probability of a mirror image.
        erasing: probability that a rectangle of 2 to 33 % of the area becomes Gaussian noise, an
            independent value per pixel and channel (timm's "pixel" mode).
        interpolation: how a test image is resized, "bilinear" or "bicubic"; a training image is
            bicubically.
        augmentation: "transreid"; or "qaconv": after crop and flip a rotation by up to 5 degrees,
            colour jitter, and with probability `erasing` a white square of random size.

    Raises:
        ValueError: an unknown normalisation, interpolation or augmentation, a size or a probability
            out of range.
    """
    height, width = image_size
    if height < 1 or width < 1:
        raise ValueError(f"image_size is {image_size}, expected (height, width) in pixels")
    for name, value in (("flip", flip), ("erasing", erasing)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is {value}, expected a probability between 0 and 1")
    if normalization not in NORMALIZATIONS:
        raise ValueError(
            f"unknown normalization {normalization!r}: choose one of {', '.join(NORMALIZATIONS)}; "
            "normalization_for(backbone) tells which"
        )
    if interpolation not in ("bilinear", "bicubic"):
        raise ValueError(f"interpolation is {interpolation!r}, expected 'bilinear' or 'bicubic'")
    if augmentation not in ("transreid", "qaconv"):
        raise ValueError(f"augmentation is {augmentation!r}, expected 'transreid' or 'qaconv'")
    mean, std = NORMALIZATIONS[normalization]
    to_tensor = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)]
    normalize = v2.Normalize(mean=list(mean), std=list(std))
    size = [height, width]
    if not train:
        resize = v2.Resize(size, InterpolationMode(interpolation))
        return v2.Compose([resize, *to_tensor, normalize])
    if pad is None:
        pad = round(REFERENCE_PAD * height / REFERENCE_HEIGHT)
    if pad < 0:
        raise ValueError(f"pad is {pad}, expected 0 or more pixels")
    resize = v2.Resize(size, InterpolationMode.BICUBIC)
    mirror, crop = v2.RandomHorizontalFlip(flip), v2.RandomCrop(size, padding=pad)
    if augmentation == "qaconv":
        turn = v2.RandomRotation([-ROTATION, ROTATION])
        colour, hide = v2.ColorJitter(JITTER, JITTER, JITTER, HUE), RandomOcclusion(erasing)
        return v2.Compose([resize, crop, mirror, turn, colour, *to_tensor, hide, normalize])
    erase = v2.RandomErasing(erasing, scale=ERASED_AREA, ratio=ERASED_ASPECT, value="random")
    return v2.Compose([resize, mirror, crop, *to_tensor, normalize, erase])


def colour_changes(
    *,
    grey: float = 0.0,
    channel_exchange: float = 0.0,
    jitter: float = 0.0,
    blur: float = 0.0,
) -> list[v2.Transform]:
    """What draws a visible and an infrared image nearer to each other; from PIL image to PIL image.

    Each happens by itself with its probability, in the order jitter, blur, exchange, grey. Neither
    of the last two changes an infrared image, whose three channels are equal.

    Args:
        grey: The image in grey (MIP has 0.5, PMT 1 in its first epochs).
        channel_exchange: Red, green or blue in all three channels (CAJ: Ye et al., ICCV 2021).
        jitter: Brightness and contrast times 0.7 to 1.3 (MIP, PMT: one of this and blur).
        blur: Gaussian, of 0.1 to 3 pixels for a height of 256, in proportion (likewise).

    Raises:
        ValueError: a probability out of range.
    """
    given = {"jitter": jitter, "blur": blur, "channel_exchange": channel_exchange, "grey": grey}
    changes = {
        "jitter": v2.ColorJitter(brightness=0.3, contrast=0.3),
        "blur": v2.Lambda(_blurred),
        "channel_exchange": v2.Lambda(_exchanged),
        "grey": v2.Grayscale(num_output_channels=3),
    }
    for name, value in given.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is {value}, expected a probability between 0 and 1")
    return [v2.RandomApply([changes[name]], value) for name, value in given.items() if value]


def _blurred(image: Image.Image) -> Image.Image:
    scale = image.height / REFERENCE_HEIGHT
    sigma = float(torch.empty(1).uniform_(*BLUR)) * scale
    kernel = 2 * max(1, round(BLUR_KERNEL // 2 * scale)) + 1
    return v2.functional.gaussian_blur(image, [kernel, kernel], [sigma, sigma])


def _exchanged(image: Image.Image) -> Image.Image:
    return Image.merge("RGB", [image.getchannel(int(torch.randint(3, ())))] * 3)


class RandomOcclusion(torch.nn.Module):
    """QAConv's: a white square of up to 0.8 of the shorter side, anywhere inside the image.

    Args:
        probability: of having one.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, image: Tensor) -> Tensor:
        """(3, H, W) from 0 to 1 to the same."""
        if torch.rand(()) >= self.probability:
            return image
        height, width = image.shape[-2:]
        side = _below(1, max(2, int(min(height, width) * OCCLUDED)))
        top, left = _below(0, max(1, height - side)), _below(0, max(1, width - side))
        image = image.clone()
        image[..., top : top + side, left : left + side] = 1.0
        return image


def _below(low: int, high: int) -> int:
    return int(torch.randint(low, high, ()))


def normalization_for(backbone: str) -> str:
    """The name of the normalisation a timm backbone was pre-trained with.

    Args:
        backbone: timm's name, with or without a tag: "vit_base_patch16_224", "resnet50.a1_in1k".

    Raises:
        ValueError: timm does not know it, or its values are none of `NORMALIZATIONS`.
    """
    import timm  # here: seconds to import, and transforms are used without it

    try:
        config = timm.get_pretrained_cfg(backbone)
    except RuntimeError:  # a tag that it does not have
        config = None
    if config is None:
        raise ValueError(
            f"timm knows no backbone {backbone!r}: see timm.list_models('vit*') for names"
        )
    for name, (mean, std) in NORMALIZATIONS.items():
        if tuple(config.mean) == mean and tuple(config.std) == std:
            return name
    raise ValueError(
        f"{backbone} is normalised by mean {config.mean}, std {config.std}, which is none of "
        f"{', '.join(NORMALIZATIONS)}: add it to reidlab.data.NORMALIZATIONS under a name"
    )
