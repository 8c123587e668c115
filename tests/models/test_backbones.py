"""The table of the papers' backbones, against timm and against what the recipes do."""

import pytest
import timm
import torch

from reidlab.data import NORMALIZATIONS
from reidlab.models import BACKBONES, create_backbone, expected_statistics
from reidlab.models.backbones import check_tag, tags

TIMM = [name for name, facts in BACKBONES.items() if facts.weights == "timm"]


@pytest.mark.parametrize("name", TIMM)
def test_timm_has_it_as_the_table_says(name):
    facts, config = BACKBONES[name], timm.get_pretrained_cfg(name)
    assert NORMALIZATIONS[facts.normalization] == (config.mean, config.std)
    assert config.input_size[1:] == facts.image_size
    assert config.url.endswith(facts.file)


@pytest.mark.parametrize("name", BACKBONES)
def test_it_can_be_built_at_the_size_of_each_paper(name):
    facts = BACKBONES[name]
    assert facts.name == name
    assert facts.used_by
    for use in facts.used_by.values():
        depth = 3 if use.image_size == (384, 128) else None  # TransMatcher's and QAConv's cut
        with torch.device("meta"):
            backbone = create_backbone(name, use.image_size, stride=use.stride, depth=depth)
        assert use.normalization in (*NORMALIZATIONS, "none", None)
        assert use.source.startswith(("(paper)", "(code)", "(ours)"))
        assert facts.patch_size == getattr(backbone, "patch_size", None)


def test_grids_of_the_papers():
    grids = {
        "la_transformer": (14, 14), "la_tf_pp": (14, 14), "gltrans": (21, 10), "tvtr": (23, 11),
        "transreid": (21, 10), "vit_baseline": (16, 8),
    }  # fmt: skip
    for facts in BACKBONES.values():
        for paper, use in facts.used_by.items():
            if facts.patch_size is not None:
                grid = tuple((side - 16) // use.stride + 1 for side in use.image_size)
                assert grid == grids.pop(paper)
    assert grids == {}


@pytest.mark.parametrize(
    ("backbone", "weights", "name"),
    [
        ("vit_tiny_patch16_224", "synth", "half"),
        ("vit_base_patch16_224.orig_in21k_ft_in1k", "timm", "half"),
        ("vit_base_patch16_224.dino", "timm", "imagenet"),
        ("vit_base_patch16_224.dino", "model.safetensors", "imagenet"),
        ("resnet50.tv_in1k", "timm", "imagenet"),
        ("resnet50_ibn_b", "resnet50_ibn_b-9ca61e85.pth", "imagenet"),
    ],
)
def test_expected_statistics(backbone, weights, name):
    assert expected_statistics(backbone, weights) == NORMALIZATIONS[name]


def test_statistics_that_nobody_knows():
    assert expected_statistics("vit_base_patch16_224.orig_in21k_ft_in1k", None) is None
    assert expected_statistics("vit_base_patch16_224", "model.safetensors") is None


def test_statistics_of_their_own():
    mean, _ = expected_statistics("vit_base_patch16_clip_224.openai", "timm")
    assert mean == pytest.approx((0.4815, 0.4578, 0.4082), abs=1e-4)


def test_tags():
    found = ["vit_tiny_patch16_224.augreg_in21k", "vit_tiny_patch16_224.augreg_in21k_ft_in1k"]
    assert sorted(tags("vit_tiny_patch16_224")) == found
    assert tags("vit_tiny_patch16_224.augreg_in21k") == tags("vit_tiny_patch16_224")
    check_tag("vit_tiny_patch16_224")
    check_tag(found[0])
    with pytest.raises(ValueError, match=r"no checkpoint 'vit_base_patch32_plus_256.x'; .*: none"):
        check_tag("vit_base_patch32_plus_256.x")
