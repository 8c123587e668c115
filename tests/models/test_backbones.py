"""The table of the papers' backbones, against timm and against what the recipes do."""

import pytest
import timm

from reidlab.data import NORMALIZATIONS
from reidlab.models import BACKBONES, expected_statistics, list_models
from reidlab.models.backbones import check_tag, tags

TIMM = [name for name, facts in BACKBONES.items() if facts.weights == "timm"]


@pytest.mark.parametrize("name", TIMM)
def test_timm_has_it_as_the_table_says(name):
    facts, config = BACKBONES[name], timm.get_pretrained_cfg(name)
    assert config.url.endswith(facts.file)


@pytest.mark.parametrize("name", BACKBONES)
def test_papers_use_it(name):
    facts = BACKBONES[name]
    assert facts.name == name
    assert facts.used_by.keys() <= set(list_models())
    assert {*facts.used_by.values()} <= {*NORMALIZATIONS, None}


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
