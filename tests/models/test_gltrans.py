"""GLTrans against a second network, written here on the authors' key names from the description."""

import math

import pytest
import torch
import torch.nn.functional as F

from reidlab.models import (
    GlobalLocal,
    GLTrans,
    WeightsError,
    create_model,
    load_authors_checkpoint,
)
from reidlab.models.gltrans import Band, Gate, GuidedAttention, LocalFusion
from reidlab.recipes import get
from reidlab.training import build_model, fit
from tests.models.authors_vit import (
    batch_norm,
    batch_norm_shapes,
    block,
    block_shapes,
    embedded,
    filled,
    gelu,
    layer_norm,
    linear,
    pair,
    vit_shapes,
)

DEAD = ("base.base.norm.", "base.base.fc.", "norm.", "local_bn.")


def authors_shapes(dim=768, grid=(21, 10), cameras=6, classes=751):
    shapes = vit_shapes("base.base.", dim, grid, cameras)
    for i in range(3):
        shapes[f"base.PAM.{i}.conv1.weight"] = (dim // 4, dim, 1, 1)
        shapes |= batch_norm_shapes(f"base.PAM.{i}.bn1", dim // 4)
        shapes[f"base.PAM.{i}.conv2.weight"] = (dim, dim // 4, 1, 1)
        shapes |= batch_norm_shapes(f"base.PAM.{i}.bn2", dim) | pair(f"base.norm.{i}", dim)
        shapes |= batch_norm_shapes(f"bn_token.{i}", dim)
        shapes[f"classifier_clsToken.{i}.weight"] = (classes, dim)
        for depth in range(2):
            shapes |= block_shapes(f"minimodule.local_interaction{depth}.{i}", dim)
        shapes[f"minimodule.{'uml'[i]}_cls"] = (1, 1, dim)
    shapes |= pair("norm", dim) | batch_norm_shapes("local_bn", dim)
    for name, width in (("1", dim), ("_local", 3 * dim)):
        shapes |= batch_norm_shapes(f"bn{name}", width)
        shapes[f"classifier{name}.weight"] = (classes, width)
    mini = "minimodule."
    shapes |= pair(f"{mini}local_interaction_norm", dim) | batch_norm_shapes(
        f"{mini}downchannel.2", dim
    )
    for name, shape in (
        ("global_interaction.0", (dim, 3 * dim)),
        ("downchannel.0", (dim, 3 * dim, 1, 1)),
        ("downchannel.3", (dim, dim, 3, 3)),
        ("G2L.GLinear", (dim, dim)),
        ("G2L.LLinear", (dim, dim)),
    ):
        shapes |= {f"{mini}{name}.weight": shape, f"{mini}{name}.bias": (dim,)}
    return shapes


def authors_gate(state, i, patches):
    """(N, D): 1x1 convolutions are matrices."""
    w1, w2 = (state[f"base.PAM.{i}.conv{n}.weight"][:, :, 0, 0] for n in (1, 2))
    a = batch_norm(state, f"base.PAM.{i}.bn1", patches @ w1.T)
    a = batch_norm(state, f"base.PAM.{i}.bn2", gelu(a) @ w2.T)
    return patches + patches * torch.sigmoid(a)


def authors_fusion(state, gated, grid):
    """(N, 3 D) -> (N, D); the 3x3 convolution as a sum over neighbours inside the grid."""
    name = "minimodule.downchannel"
    x = gated @ state[f"{name}.0.weight"][:, :, 0, 0].T + state[f"{name}.0.bias"]
    x = batch_norm(state, f"{name}.2", gelu(x)).unflatten(0, grid)
    out = []
    for row in range(grid[0]):
        for column in range(grid[1]):
            total = state[f"{name}.3.bias"].clone()
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    y, z = row + dy, column + dx
                    if 0 <= y < grid[0] and 0 <= z < grid[1]:
                        total += state[f"{name}.3.weight"][:, :, dy + 1, dx + 1] @ x[y, z]
            out.append(total)
    return torch.stack(out)


def authors_features(state, image, camera, *, grid, heads, stride):
    """c10, c11, c12, g, f of one image (3, H, W)."""
    x, taps = embedded(state, "base.base.", image, camera, stride), []
    for b in range(12):
        x = block(state, f"base.base.blocks.{b}", x, heads, 1e-6)
        taps.append(x)
    taps = taps[-3:]
    tokens = [layer_norm(state, f"base.norm.{i}", t, 1e-6)[0] for i, t in enumerate(taps)]
    g = linear(state, "minimodule.global_interaction.0", torch.cat(tokens))
    gated = [authors_gate(state, i, t[1:]) for i, t in enumerate(taps)]
    patches = authors_fusion(state, torch.cat(gated, dim=1), grid)
    q = linear(state, "minimodule.G2L.GLinear", g)
    k = linear(state, "minimodule.G2L.LLinear", patches)
    weighed, d = patches.clone(), len(g) // heads
    for n in range(len(patches)):
        for h in range(heads):
            own = slice(h * d, (h + 1) * d)
            weighed[n, own] *= 1 + 1 / (1 + torch.exp(-(k[n, own] @ q[own])))
    rows, local = grid[0] // 3, []
    for r, name in enumerate("uml"):
        band = weighed[r * rows * grid[1] : (r + 1) * rows * grid[1]]
        z = torch.cat((state[f"minimodule.{name}_cls"][0], torch.stack(tokens), band))
        for depth in range(2):
            z = block(state, f"minimodule.local_interaction{depth}.{r}", z, heads, 1e-5)
        local.append(layer_norm(state, "minimodule.local_interaction_norm", z, 1e-5)[0])
    return [*tokens, g, torch.cat(local)]


# ------------------------------------------------------------------ sizes of the paper


def paper_model(classes=751, cameras=6, image_size=(256, 128), **options):
    with torch.device("meta"):
        return create_model(
            "gltrans", num_classes=classes, backbone="vit_base_patch16_224", weights=None,
            image_size=image_size, stride=12, num_cameras=cameras, **options,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("classes", "cameras", "whole", "trained"),
    [
        (751, 6, 144_092_776, 143_319_168),
        (1041, 15, 145_658_728, 144_885_120),
        (702, 8, 143_830_888, 143_057_280),
    ],
)
def test_parameter_counts(classes, cameras, whole, trained):
    shapes = authors_shapes(classes=classes, cameras=cameras)
    learned = {k: math.prod(s) for k, s in shapes.items() if "running" not in k and s}
    assert len(shapes) == 324
    assert sum(learned.values()) == whole
    model = paper_model(classes, cameras)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == trained
    assert sum(p.numel() for p in model.parameters()) == trained
    dead = sum(n for key, n in learned.items() if key.startswith(DEAD))
    assert whole - dead == trained


def test_what_retrieval_uses():
    model = paper_model()
    heads = sum(p.numel() for p in model.necks.parameters())
    assert sum(p.numel() for p in model.parameters()) - heads == 139_271_040
    assert model.embed_dim == 3840
    gates = sum(p.numel() for p in model.lmf.gates.parameters())
    assert gates == 890_496
    parts = sum(p.numel() for part in (model.gae, model.lmf) for p in part.parameters())
    assert parts - gates == 52_563_456


@pytest.mark.parametrize(
    ("image_size", "grid", "length"), [((256, 128), (21, 10), 74), ((256, 256), (21, 21), 151)]
)
def test_a_band_at_paper_size(image_size, grid, length):
    model = paper_model(image_size=image_size)
    assert model.backbone.grid == grid
    seen = []
    for band in model.lmf.bands:
        band.blocks.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    patches = torch.empty(2, grid[0] * grid[1], 768, device="meta")
    classes = torch.empty(2, 3, 768, device="meta")
    out = model.lmf([patches] * 3, classes, classes[:, 0])
    assert seen == [(2, length, 768)] * 3
    assert out.shape == (2, 2304)


# ------------------------------------------------------------------ their files, their numbers

TINY = {"dim": 192, "grid": (6, 2), "cameras": 3, "classes": 5}


def tiny(**options):
    torch.manual_seed(0)
    given = {"image_size": (76, 32), "stride": 12, "num_cameras": 3, "weights": None}
    return create_model("gltrans", num_classes=5, **given | options)


@torch.no_grad()
def test_the_authors_network_in_numbers():
    state = filled(authors_shapes(**TINY))
    model = load_authors_checkpoint(tiny(preset="code"), state).eval()
    images = torch.randn(2, 3, 76, 32, generator=torch.Generator().manual_seed(1))
    out = model(images, torch.tensor([2, 0]))
    found = model.embed(images, torch.tensor([2, 0]))
    for n, camera in enumerate((2, 0)):
        tokens = authors_features(state, images[n], camera, grid=(6, 2), heads=3, stride=12)
        *classes, g, local = tokens
        expected = torch.cat((local, g, classes[-1]))
        assert expected.std() > 0.1  # else the tolerance would hide an error
        torch.testing.assert_close(found[n], expected, rtol=0, atol=1e-4)
        necks = [f"bn_token.{i}" for i in range(3)] + ["bn1", "bn_local"]
        heads = [f"classifier_clsToken.{i}" for i in range(3)] + ["classifier1", "classifier_local"]
        for i, each in enumerate(tokens):
            logits = batch_norm(state, necks[i], each) @ state[f"{heads[i]}.weight"].T
            torch.testing.assert_close(out.logits[i][n], logits, rtol=0, atol=1e-4)
            compared = classes[-1] if i < 3 else each  # the last token three times
            torch.testing.assert_close(out.features[i][n], compared, rtol=0, atol=1e-4)


def test_each_entry_has_exactly_one_place():
    state = filled(authors_shapes(**TINY))
    model = load_authors_checkpoint(tiny(), state)
    loaded = list(model.state_dict().values())
    live = {key: value for key, value in state.items() if not key.startswith(DEAD)}
    assert len(loaded) == len(live) == 324 - 11
    for key, value in live.items():
        same = sum(v.shape == value.shape and bool((v == value).all()) for v in loaded)
        assert same == (12 if key.endswith("tracked") else 1), key


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"minimodule.u_cls": None}, "missing keys lmf.bands.0.token;"),
        (
            {"bn_token.3.weight": torch.ones(192)},
            "unknown keys bn_token.3.weight;",
        ),
        ({"minimodule.local_interaction2.0.norm1.bias": torch.ones(192)}, "unknown keys minimod"),
        ({"base.base.sie_embed": torch.ones(9, 1, 192)}, r"\(9, 1, 192\) instead of \(3, 1, 19"),
    ],
)
def test_files_that_do_not_fit(change, message):
    state = filled(authors_shapes(**TINY)) | change
    state = {key: value for key, value in state.items() if value is not None}
    with pytest.raises(WeightsError, match=message):
        load_authors_checkpoint(tiny(), state)


def test_a_file_of_other_people():
    state = filled(authors_shapes(**TINY | {"classes": 7}))
    with pytest.raises(WeightsError, match=r"classifies 7 identities and the model 5; .*num_cl"):
        load_authors_checkpoint(tiny(), state)


# ------------------------------------------------------------------ parts, by hand


@pytest.mark.parametrize("dim", [8, 2])  # 2 channels are fewer than the gate divides them by
def test_a_gate_is_a_factor_between_one_and_two_of_each_channel_and_patch(dim):
    gate, maps = Gate(dim).eval(), torch.randn(2, dim, 3, 2)
    with torch.no_grad():
        factor = gate(maps) / maps
        assert ((factor > 1) & (factor < 2)).all()
        assert factor.std(dim=(2, 3)).min() > 0  # no pooling over patches
        gate.bn2.weight.zero_()
        gate.bn2.bias.fill_(math.log(3.0))
        torch.testing.assert_close(gate(maps), 1.75 * maps)  # sigmoid(log 3) = 3 / 4


def test_the_guide_by_hand():
    """Two heads of one channel; key = patch, query = guide: s = sigmoid(patch * guide)."""
    attention = GuidedAttention(2, heads=2)
    with torch.no_grad():
        for layer in (attention.query, attention.key):
            layer.weight.copy_(torch.eye(2))
            layer.bias.zero_()
        out = attention(torch.tensor([[[1.0, 2.0], [0.0, -4.0]]]), torch.tensor([[0.0, 0.5]]))
    s = [0.5, 1 / (1 + math.exp(-1)), 0.5, 1 / (1 + math.exp(2))]
    expected = [1 * (1 + s[0]), 2 * (1 + s[1]), 0.0, -4 * (1 + s[3])]
    assert out.flatten().tolist() == pytest.approx(expected)


def test_a_band_starts_from_a_token_of_zeros_and_norms_of_torch():
    band = Band(8, heads=2)
    assert not band.token.any()
    assert {block.norm1.eps for block in band.blocks} == {1e-5}
    assert len(band.blocks) == 2


@pytest.mark.parametrize(("rows", "sizes"), [(6, [2, 2, 2]), (8, [3, 3, 2]), (3, [1, 1, 1])])
@torch.no_grad()
def test_bands_are_runs_of_rows(rows, sizes):
    """Without the other parts a band is the mean of its patches: patch of row r is (r, 0, -r)."""
    off = GlobalLocal(ptf=False, gma=False, ptl=False)
    lmf = LocalFusion(3, 1, (rows, 2), off)
    patches = torch.tensor([[[float(r), 0.0, -float(r)] for r in range(rows) for _ in range(2)]])
    found = lmf([patches + 9, patches], torch.zeros(1, 3, 3), torch.zeros(1, 3)).view(3, 3)
    start = 0
    for band, size in zip(found, sizes, strict=True):
        mean = sum(range(start, start + size)) / size
        scale = mean / math.sqrt(2 * mean**2 / 3 + 1e-5)
        assert band.tolist() == pytest.approx([scale, 0, -scale], abs=1e-5)
        start += size


def test_what_the_parts_start_from():
    model = tiny(preset="paper")
    width = model.gae.weight.std().item()
    assert width == pytest.approx(math.sqrt(2 / 192), rel=0.02)
    assert model.lmf.fuse[3].weight.std().item() == pytest.approx(math.sqrt(2 / 1728), rel=0.02)
    fc1 = model.lmf.bands[1].blocks[0].mlp.fc1
    assert fc1.weight.std().item() == pytest.approx(math.sqrt(2 / 768), rel=0.02)
    assert not fc1.bias.any()
    assert not model.gae.bias.any()
    assert all(neck.norm.bias.requires_grad for neck in model.necks)
    assert [norm.eps for norm in (*model.norms, model.backbone.norm)] == [1e-6] * 3
    assert len({id(norm) for norm in (*model.norms, model.backbone.norm)}) == 3


# ------------------------------------------------------------------ switches


@pytest.mark.parametrize(
    ("switches", "heads", "width"),
    [
        ({}, 5, 5), ({"layers": 1}, 3, 5), ({"layers": 4, "bands": 2}, 6, 4),
        ({"gae": False, "lmf": False, "layers": 1}, 1, 1), ({"lmf": False}, 4, 2),
        ({"gae": False}, 4, 4), ({"ptf": False}, 5, 5), ({"gma": False}, 5, 5),
        ({"ptl": False}, 5, 5), ({"ptf": False, "gma": False, "ptl": False}, 5, 5),
        ({"triplet": "last"}, 5, 5),
    ],
)  # fmt: skip
def test_every_part_can_be_switched_off_and_what_is_left_learns(switches, heads, width):
    model = tiny(depth=4, num_cameras=0, switches=switches).train()
    out = model(torch.randn(2, 3, 76, 32))
    assert len(out.logits) == len(out.features) == heads
    assert model.embed_dim == width * 192
    assert model.embed(torch.randn(2, 3, 76, 32)).shape == (2, model.embed_dim)
    sum(t.square().mean() for t in (*out.logits, *out.features)).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@torch.no_grad()
def test_all_switched_off_is_the_baseline():
    model = tiny(depth=2, switches={"gae": False, "lmf": False, "layers": 1}).eval()
    images, camids = torch.randn(2, 3, 76, 32), torch.tensor([0, 2])
    token = model.backbone(images, camids).cls
    assert torch.equal(model.embed(images, camids), token)
    torch.testing.assert_close(model(images, camids).logits[0], model.necks[0](token))


def test_the_form_of_the_triplet():
    images, camids = torch.randn(2, 3, 76, 32), torch.tensor([0, 2])
    own, last = (tiny(depth=3, preset=preset).eval() for preset in (None, "code"))
    assert (own.switches.triplet, last.switches.triplet) == ("own", "last")
    with torch.no_grad():
        own, last = own(images, camids).features, last(images, camids).features
    assert all(torch.equal(a, own[2]) for a in last[:3])
    assert not torch.allclose(own[0], own[2])
    assert all(torch.equal(a, b) for a, b in zip(own[2:], last[2:], strict=True))


@torch.no_grad()
def test_one_part_alone_as_the_description():
    model, images = tiny(depth=3, num_cameras=0).eval(), torch.randn(2, 3, 76, 32)
    whole = model.embed(images)
    pieces = [model.embed(images, retrieval=name) for name in ("local", "global", "class")]
    assert torch.equal(torch.cat(pieces, dim=1), whole)
    assert torch.equal(pieces[2], model.backbone(images).cls)
    alone = tiny(depth=3, num_cameras=0, switches={"gae": False})
    with pytest.raises(ValueError, match=r"'global'; this GLTrans has 'all', 'local', 'class'\. B"):
        alone.embed(images, retrieval="global")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 2}, "layers is 3 and the backbone has 2 blocks. Pass a smaller number"),
        ({"switches": {"bands": 7}}, "bands is 7 and the grid of 6x2 patches has 6 rows, which"),
        ({"switches": {"bands": 0}}, "bands is 0; expected a number of 1 or more"),
        ({"switches": {"layers": 0}}, "layers is 0; expected a number of 1 or more"),
        ({"switches": {"triplet": "all"}}, "triplet is 'all'; expected one of 'own', 'last'"),
        ({"switches": {"gae": "no"}}, "gae is 'no'; expected"),
    ],
)
def test_what_cannot_be_built(options, message):
    with pytest.raises(ValueError, match=message):
        tiny(**{"depth": 3} | options)


def test_nobody_to_learn_and_cameras_that_are_not_there():
    model = tiny(depth=3)
    with pytest.raises(ValueError, match="num_classes is 0; expected at least one identity"):
        GLTrans(model.backbone, 0)
    images = torch.randn(2, 3, 76, 32)
    with pytest.raises(ValueError, match="camera 3 is not in the table of this model"):
        model(images, torch.tensor([0, 3]))
    with pytest.raises(ValueError, match="needs `camids`"):
        model.embed(images)
    assert tiny(depth=3, num_cameras=1).eval().embed(images, torch.tensor([0, 0])).shape[0] == 2


# ------------------------------------------------------------------ training


@pytest.mark.parametrize("name", ["gltrans", "transreid", "pcb"])
def test_a_training(name, ds, recipe, tmp_path):
    recipe = recipe.replace(
        model=name, depth=3, epochs=1, camera_embedding=True, image_size=(48, 32),
    )  # fmt: skip
    model = build_model(recipe, ds)
    record = fit(model, ds, recipe, out=tmp_path / name)
    assert record.experiment["num_cameras"] == 3
    assert 0 <= record.metrics["mAP"] <= 1
    assert set(record.history[0]["losses"]) == {"identity", "triplet"}


def test_the_losses_of_five_heads_by_loops():
    torch.manual_seed(0)
    model = tiny(depth=3, num_cameras=0, preset="code").eval()
    images, labels = torch.randn(4, 3, 76, 32), torch.tensor([0, 0, 1, 1])

    identity, triplet = (loss.build() for loss in get("gltrans", "paper", "code").losses)
    with torch.no_grad():
        out = model(images)
        *_, token, g, local = out.features

        def hardest(x):
            total = 0.0
            for a in range(4):
                far = max((x[a] - x[b]).norm() for b in range(4) if labels[a] == labels[b])
                near = min((x[a] - x[b]).norm() for b in range(4) if labels[a] != labels[b])
                total += math.log1p(math.exp(float(far - near))) / 4
            return total

        found = identity(out, {"label": labels}), triplet(out, {"label": labels})
    ce = sum(float(F.cross_entropy(each, labels)) for each in out.logits) / 5
    assert float(found[0]) == pytest.approx(ce, rel=1e-5)
    expected = (3 * hardest(token) + hardest(g) + hardest(local)) / 5
    assert float(found[1]) == pytest.approx(expected, rel=1e-4)
