"""One paper, one file, which registers its model; `create_model` finds it by name."""

from reidlab.models import (  # noqa: F401  they register
    agw,
    gltrans,
    la_tf_pp,
    la_transformer,
    naive_matchers,
    pcb,
    qaconv,
    transmatcher,
    transreid,
    tvtr,
    vit_baseline,
)
from reidlab.models.agw import AGW
from reidlab.models.authors import load_authors_checkpoint
from reidlab.models.backbones import BACKBONES, BackboneFacts, expected_statistics
from reidlab.models.export import export_timm
from reidlab.models.factory import create_backbone, create_model
from reidlab.models.gltrans import GlobalLocal, GLTrans
from reidlab.models.la_tf_pp import LATFpp
from reidlab.models.la_transformer import LATransformer, LocallyAware
from reidlab.models.matcher import Matcher
from reidlab.models.outputs import Outputs
from reidlab.models.pcb import PCB
from reidlab.models.pretrained import load_weights
from reidlab.models.qaconv import Convolution, QAConv
from reidlab.models.registry import Authors, Model, list_models, register, unregister
from reidlab.models.resnet import ConvBackbone, Maps
from reidlab.models.transmatcher import Attending, Matching, TransMatcher, resize_matcher
from reidlab.models.transreid import Jigsaw, TransReID
from reidlab.models.tvtr import TVTR, TopK, select_tokens
from reidlab.models.vit import TokenBackbone, Tokens, token_views
from reidlab.models.vit_baseline import BNNeck, ViTBaseline
from reidlab.models.weights_file import WeightsError

__all__ = [
    "AGW",
    "BACKBONES",
    "PCB",
    "TVTR",
    "Attending",
    "Authors",
    "BNNeck",
    "BackboneFacts",
    "ConvBackbone",
    "Convolution",
    "GLTrans",
    "GlobalLocal",
    "Jigsaw",
    "LATFpp",
    "LATransformer",
    "LocallyAware",
    "Maps",
    "Matcher",
    "Matching",
    "Model",
    "Outputs",
    "QAConv",
    "TokenBackbone",
    "Tokens",
    "TopK",
    "TransMatcher",
    "TransReID",
    "ViTBaseline",
    "WeightsError",
    "create_backbone",
    "create_model",
    "expected_statistics",
    "export_timm",
    "list_models",
    "load_authors_checkpoint",
    "load_weights",
    "register",
    "resize_matcher",
    "select_tokens",
    "token_views",
    "unregister",
]
