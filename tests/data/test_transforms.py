"""What the transforms do to pixels, measured."""

import numpy as np
import pytest
import torch
from PIL import Image

from reidlab.data import NORMALIZATIONS, build_transform, colour_changes, normalization_for
from reidlab.data.transforms import RandomOcclusion


def picture(height=64, width=32, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def grey(level, height=64, width=32):
    return Image.fromarray(np.full((height, width, 3), level, np.uint8))


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("size", [(64, 32), (192, 96), (30, 30)])
def test_shape_and_type(train, size):
    image = build_transform(size, train=train)(picture())
    assert image.shape == (3, *size)
    assert image.dtype == torch.float32


@pytest.mark.parametrize("name", sorted(NORMALIZATIONS))
@pytest.mark.parametrize("level", [0, 128, 255])
def test_normalisation(name, level):
    mean, std = NORMALIZATIONS[name]
    image = build_transform((64, 32), train=False, normalization=name)(grey(level))
    for channel in range(3):
        expected = (level / 255 - mean[channel]) / std[channel]
        np.testing.assert_allclose(image[channel].numpy(), expected, atol=1e-6)


def test_the_test_transform_resizes_bilinearly_and_draws_nothing():
    state = torch.get_rng_state()
    image = build_transform((96, 48), train=False)(picture())
    assert torch.equal(torch.get_rng_state(), state)
    resized = picture().resize((48, 96), Image.Resampling.BILINEAR)
    expected = torch.from_numpy(np.array(resized)).permute(2, 0, 1) / 255 * 2 - 1
    torch.testing.assert_close(image, expected)


def test_the_test_transform_resizes_bicubically_where_asked():
    image = build_transform((96, 48), train=False, interpolation="bicubic")(picture())
    resized = picture().resize((48, 96), Image.Resampling.BICUBIC)
    expected = torch.from_numpy(np.array(resized)).permute(2, 0, 1) / 255 * 2 - 1
    torch.testing.assert_close(image, expected)
    assert not torch.equal(image, build_transform((96, 48), train=False)(picture()))


def test_the_train_transform_resizes_bicubically():
    image = build_transform((96, 48), train=True, pad=0, flip=0, erasing=0)(picture())
    resized = picture().resize((48, 96), Image.Resampling.BICUBIC)
    expected = torch.from_numpy(np.array(resized)).permute(2, 0, 1) / 255 * 2 - 1
    torch.testing.assert_close(image, expected)


def test_half_of_the_images_are_mirrored():
    torch.manual_seed(0)
    transform = build_transform((64, 32), train=True, pad=0, erasing=0)
    plain = build_transform((64, 32), train=True, pad=0, flip=0, erasing=0)(picture())
    images = [transform(picture()) for _ in range(200)]
    as_is = sum(torch.equal(image, plain) for image in images)
    mirrored = sum(torch.equal(image, plain.flip(2)) for image in images)
    assert as_is + mirrored == 200
    assert 70 < mirrored < 130


@pytest.mark.parametrize(("height", "pad"), [(256, 10), (192, 8), (128, 5), (224, 9), (64, 2)])
def test_the_pad_grows_with_the_image(height, pad):
    # A white image: its black border tells how far the crop went.
    torch.manual_seed(0)
    transform = build_transform((height, height // 2), train=True, flip=0, erasing=0)
    offsets = set()
    for _ in range(60):
        image = transform(grey(255))[0]
        assert set(image.unique().tolist()) <= {-1.0, 1.0}  # black or white
        offsets.add(int((image < 0).all(dim=1).sum()))
    assert max(offsets) == pad
    assert min(offsets) == 0


def test_erasing_is_noise_per_pixel_over_a_rectangle():
    torch.manual_seed(0)
    transform = build_transform((128, 64), train=True, pad=0, flip=0, erasing=0.5)
    erased, noise, areas = 0, [], []
    for _ in range(300):
        image = transform(grey(255, 128, 64))
        changed = (image != 1).any(dim=0)
        if not changed.any():
            continue
        erased += 1
        rows, columns = changed.any(dim=1).nonzero(), changed.any(dim=0).nonzero()
        box = image[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        areas.append(box[0].numel() / (128 * 64))
        assert changed.sum() == box[0].numel()  # a full rectangle
        noise.append(box.flatten())
    values = torch.cat(noise)
    assert 110 < erased < 190
    assert 0.015 < min(areas) < max(areas) < 0.35
    assert abs(float(values.mean())) < 0.02
    assert abs(float(values.std()) - 1) < 0.02


@pytest.mark.parametrize(
    ("backbone", "expected"),
    [
        ("vit_tiny_patch16_224", "half"),
        ("vit_base_patch16_224.augreg_in21k", "half"),
        ("deit_tiny_patch16_224", "imagenet"),
        ("resnet50", "imagenet"),
    ],
)
def test_normalisation_of_a_backbone(backbone, expected):
    assert normalization_for(backbone) == expected


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ("vit_enormous", "timm knows no backbone 'vit_enormous'"),
        ("vit_base_patch16_224.nope", "timm knows no backbone 'vit_base_patch16_224.nope'"),
        ("vit_base_patch16_clip_224.openai", "none of half, imagenet, none: add it to"),
    ],
)
def test_normalisation_of_a_strange_backbone(backbone, message):
    with pytest.raises(ValueError, match=message):
        normalization_for(backbone)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": (0, 64)}, r"image_size is \(0, 64\), expected \(height, width\)"),
        ({"normalization": "quarter"}, "'quarter': choose one of half, imagenet"),
        ({"flip": 2.0}, "flip is 2.0, expected a probability"),
        ({"erasing": -0.1}, "erasing is -0.1, expected a probability"),
        ({"pad": -1}, "pad is -1"),
        ({"interpolation": "area"}, "interpolation is 'area', expected 'bilinear' or 'bicubic'"),
    ],
)
def test_bad_arguments(changes, message):
    with pytest.raises(ValueError, match=message):
        build_transform(**{"image_size": (64, 32), "train": True, **changes})


# ------------------------------------------------------------------ visible and infrared


def changed(image, **options):
    (change,) = colour_changes(**options)
    return np.array(change(image))


def test_nothing_is_changed_unless_asked():
    assert colour_changes() == []


def test_grey_is_the_luma_in_three_channels():
    pixels = np.array(picture()).astype(float)
    expected = pixels @ [0.299, 0.587, 0.114]
    found = changed(picture(), grey=1.0).astype(float)
    assert found.shape == pixels.shape
    assert np.abs(found - expected[..., None]).max() <= 1


def test_one_channel_in_place_of_all():
    torch.manual_seed(0)
    pixels, seen = np.array(picture()), set()
    for _ in range(40):
        found = changed(picture(), channel_exchange=1.0)
        (channel,) = [c for c in range(3) if (found == pixels[..., [c]]).all()]
        seen.add(channel)
    assert seen == {0, 1, 2}


def test_jitter_stays_within_its_bounds():
    torch.manual_seed(0)
    levels = [int(changed(grey(100), jitter=1.0)[0, 0, 0]) for _ in range(60)]
    assert 65 <= min(levels) < 80
    assert 120 < max(levels) <= 135


def test_a_blur_in_proportion_to_the_height():
    torch.manual_seed(0)
    spreads = {}
    for height in (64, 256):
        pixels = np.zeros((height, height // 2, 3), np.uint8)
        pixels[:, height // 4 :] = 255  # an edge
        rows = [changed(Image.fromarray(pixels), blur=1.0)[height // 2, :, 0] for _ in range(30)]
        spreads[height] = max(int(((row > 12) & (row < 243)).sum()) for row in rows)
    assert spreads[64] * 3 < spreads[256] < spreads[64] * 6


def test_an_infrared_image_has_no_colour_to_change():
    pixels = np.array(picture())
    infrared = Image.fromarray(np.repeat(pixels[..., :1], 3, axis=2))
    assert np.array_equal(changed(infrared, channel_exchange=1.0), np.array(infrared))
    assert np.abs(changed(infrared, grey=1.0).astype(int) - np.array(infrared)).max() <= 1


def test_probabilities_and_their_errors():
    torch.manual_seed(0)
    (change,) = colour_changes(grey=0.5)
    as_is = sum(change(picture()) == picture() for _ in range(200))
    assert 70 < as_is < 130
    assert len(colour_changes(grey=0.1, channel_exchange=0.1, jitter=0.1, blur=0.1)) == 4
    with pytest.raises(ValueError, match=r"blur is 1.5, expected a probability between 0 and 1"):
        colour_changes(blur=1.5)


def test_qaconvs_white_square():
    """Sides from 1 to 0.8 of the shorter side, less one, inside the image, over all channels."""
    sides = set()
    for _ in range(300):
        image = RandomOcclusion(1.0)(torch.zeros(3, 20, 10))
        white = image == 1
        assert torch.equal(white[0], white[1])
        rows, columns = white[0].any(1).sum().item(), white[0].any(0).sum().item()
        assert rows == columns >= 1
        assert white[0].sum() == rows * columns
        sides.add(rows)
    assert sides == set(range(1, 8))
    assert not RandomOcclusion(0.0)(torch.zeros(3, 20, 10)).any()


def test_qaconvs_augmentation():
    """Pixels stay from 0 to 1; nothing random is left when its parts are switched off at test."""
    picture_ = picture()
    options = dict(normalization="none", augmentation="qaconv", interpolation="bicubic")
    transform = build_transform((64, 32), train=True, pad=2, flip=0.5, erasing=1.0, **options)
    torch.manual_seed(0)
    one, other = transform(picture_), transform(picture_)
    assert one.shape == (3, 64, 32)
    assert one.min() >= 0
    assert one.max() == 1
    assert not torch.equal(one, other)
    steps = [type(step).__name__ for step in transform.transforms]
    assert steps == [
        "Resize", "RandomCrop", "RandomHorizontalFlip", "RandomRotation", "ColorJitter",
        "PILToTensor", "ToDtype", "RandomOcclusion", "Normalize",
    ]  # fmt: skip
    test = build_transform((64, 32), train=False, **options)
    assert torch.equal(test(picture_), test(picture_))
    with pytest.raises(ValueError, match="augmentation is 'agw', expected 'transreid' or"):
        build_transform((64, 32), train=True, augmentation="agw")
