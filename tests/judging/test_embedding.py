"""The flip test, against mirror images that were written to disk and embedded on their own."""

import platform
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from PIL import Image, ImageOps

from reidlab.data import build_transform, read_image
from reidlab.files import WriteError
from reidlab.judging import embedding, zero_shot
from reidlab.judging import test_transform as look_of
from reidlab.judging.embedding import has_bf16
from reidlab.models import TokenBackbone
from reidlab.training import build_model, embed


class Pixels(torch.nn.Module):
    """Embeds an image as its pixels, so that left and right differ."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.calls = 0

    def embed(self, images, camids=None):
        assert not self.training
        self.calls += 1
        return self.scale * images.flatten(1)


class Maps(Pixels):
    def embed(self, images, camids=None):
        return super().embed(images).unflatten(1, (8, 4, -1))


@pytest.fixture
def mirrored(ds, tmp_path):
    """The gallery's table with mirror images instead."""
    paths = []
    for i, path in enumerate(ds.gallery["path"]):
        paths.append(tmp_path / f"{i}.png")
        ImageOps.mirror(read_image(path)).save(paths[-1])
    return ds.gallery.assign(path=paths)


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_equals_the_mean_over_images_and_mirror_images(ds, recipe, mirrored, precision):
    recipe = recipe.replace(precision=precision)
    model = build_model(recipe, ds)
    straight, turned = (embed(model, frame, recipe) for frame in (ds.gallery, mirrored))
    assert not torch.allclose(straight, turned, atol=1e-2)
    both = embed(model, ds.gallery, recipe, flip_test=True)
    assert both.dtype == torch.float32
    torch.testing.assert_close(both, (straight + turned) / 2, rtol=0, atol=1e-6)
    torch.testing.assert_close(both, embed(model, mirrored, recipe, flip_test=True))


def test_a_symmetric_image_embeds_as_without(recipe, tmp_path):
    half = Image.effect_noise((16, 64), 80).convert("RGB")
    whole = Image.new("RGB", (32, 64))
    whole.paste(half, (0, 0))
    whole.paste(ImageOps.mirror(half), (16, 0))
    whole.save(tmp_path / "symmetric.png")
    frame = pd.DataFrame({"path": [tmp_path / "symmetric.png"], "pid": [1], "camid": [0]})
    model = Pixels()
    assert torch.equal(embed(model, frame, recipe, flip_test=True), embed(model, frame, recipe))


def test_without_it_each_batch_is_embedded_once(ds, recipe):
    model, transform = build_model(recipe, ds), build_transform((64, 32), train=False)
    images = torch.stack([transform(read_image(path)) for path in ds.gallery["path"]])
    camids = torch.tensor(ds.gallery["camid"].to_numpy())
    model.eval()
    with torch.inference_mode():
        expected = torch.cat(
            [model.embed(x, c) for x, c in zip(images.split(7), camids.split(7), strict=True)]
        )
    assert torch.equal(embed(model, ds.gallery, recipe), expected)
    pixels = Pixels()
    embed(pixels, ds.gallery, recipe)  # 16 images in batches of 7
    assert pixels.calls == 3
    embed(pixels, ds.gallery, recipe, flip_test=True)
    assert pixels.calls == 3 + 6


def test_embeddings_can_be_changed_and_learned_from(ds, recipe):
    emb = embed(Pixels(), ds.query, recipe)
    emb -= emb.mean(0)
    torch.nn.Linear(emb.shape[1], 2)(emb).sum().backward()


def test_the_recipe_decides_unless_the_caller_does(ds, recipe):
    model, with_flip = Pixels(), recipe.replace(flip_test=True)
    straight, both = embed(model, ds.query, recipe), embed(model, ds.query, with_flip)
    assert not torch.equal(straight, both)
    assert torch.equal(both, embed(model, ds.query, recipe, flip_test=True))
    assert torch.equal(straight, embed(model, ds.query, with_flip, flip_test=False))


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_of_the_model_comes_back(ds, recipe, training):
    model = Pixels().train(training)
    embed(model, ds.query, recipe, flip_test=True)
    assert model.training is training
    maps = Maps().train(training)
    with pytest.raises(
        ValueError, match=r"Maps embeds an image as a map of shape \(8, 4, 192\).*flip_test=False"
    ):
        embed(maps, ds.query, recipe, flip_test=True)
    assert maps.training is training
    backbone = TokenBackbone(depth=1, image_size=(32, 16)).train(training)
    zero_shot(backbone, ds, recipe)
    assert backbone.training is training
    assert embed(maps, ds.query, recipe).shape == (4, 8, 4, 192)


@pytest.mark.parametrize("retrieval", ["rows", "gelt", "mean"])
def test_another_description_is_asked_of_the_model(ds, recipe, retrieval):
    """Image by image, and mirrored by hand; 0.3 is the weight of no preset."""
    recipe = recipe.replace(model="la_transformer")
    model, frame = build_model(recipe, ds).eval(), ds.gallery.head(9)
    asked = {"retrieval": retrieval, "local_weight": 0.3}
    look = look_of(recipe)
    pictures = [look(read_image(path))[None] for path in frame["path"]]
    with torch.inference_mode():
        plain = torch.cat([model.embed(x, **asked) for x in pictures])
        turned = torch.cat([model.embed(x.flip(-1), **asked) for x in pictures])
    assert not torch.allclose(plain, turned, atol=1e-3)
    torch.testing.assert_close(embed(model, frame, recipe, **asked), plain, rtol=0, atol=1e-5)
    both = embed(model, frame, recipe, flip_test=True, **asked)
    torch.testing.assert_close(both, (plain + turned) / 2, rtol=0, atol=1e-5)


def test_a_processor_has_bf16_by_its_instructions():
    info = Path("/proc/cpuinfo")
    if platform.machine() != "x86_64" or not info.exists():
        pytest.skip("the list of instructions is read as Linux has it on x86")
    flags = info.read_text().partition("flags")[2].partition("\n")[0].split()
    expected = "avx512_bf16" in flags
    assert has_bf16(torch.device("cpu")) is expected


@pytest.mark.parametrize("available", [True, False])
def test_bf16_is_asked_for_only_where_it_is(monkeypatch, ds, recipe, available):
    monkeypatch.setattr(embedding, "has_bf16", lambda device: available)
    model = build_model(recipe, ds)
    half, full = (embed(model, ds.gallery, recipe.replace(precision=p)) for p in ("bf16", "no"))
    assert torch.equal(half, full) is not available


def test_many_maps_lie_in_a_file_that_goes_with_them(recipe, ds, tmp_path, monkeypatch):
    expected = embed(Maps(), ds.gallery, recipe)
    monkeypatch.setattr(embedding, "IN_MEMORY", expected.nbytes - 1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    opened = []
    from_file = torch.from_file
    monkeypatch.setattr(
        torch, "from_file", lambda name, **size: opened.append(name) or from_file(name, **size)
    )
    found = embed(Maps(), ds.gallery, recipe)
    assert [Path(name).parent for name in opened] == [tmp_path]
    assert torch.equal(found, expected)
    assert not any(tmp_path.iterdir())
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(WriteError, match=r"reidlab-maps-.* it takes .* MiB and 0 MiB are free"):
        embed(Maps(), ds.gallery, recipe)
    assert not any(tmp_path.iterdir())
