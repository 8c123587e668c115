"""Data: on-disk layouts to tables, tables to batches."""

from reidlab.data.baselines import mask_path, mean_color_features, pixel_features
from reidlab.data.cards import CARDS, Counts, DatasetCard, data_catalogue, data_help
from reidlab.data.catalogue import list_datasets, open_dataset
from reidlab.data.dataset import ReIDDataset
from reidlab.data.decoding import check_images, unreadable
from reidlab.data.errors import DatasetError, DatasetWarning
from reidlab.data.images import read_image, read_mask
from reidlab.data.loader import make_loader, watched_workers
from reidlab.data.samplers import (
    CrossModalSampler,
    GraphSampler,
    IdentitySampler,
    ShuffleSampler,
    make_sampler,
)
from reidlab.data.sysu_mm01 import draw_gallery
from reidlab.data.transforms import (
    NORMALIZATIONS,
    build_transform,
    colour_changes,
    normalization_for,
)

__all__ = [
    "CARDS",
    "NORMALIZATIONS",
    "Counts",
    "CrossModalSampler",
    "DatasetCard",
    "DatasetError",
    "DatasetWarning",
    "GraphSampler",
    "IdentitySampler",
    "ReIDDataset",
    "ShuffleSampler",
    "build_transform",
    "check_images",
    "colour_changes",
    "data_catalogue",
    "data_help",
    "draw_gallery",
    "list_datasets",
    "make_loader",
    "make_sampler",
    "mask_path",
    "mean_color_features",
    "normalization_for",
    "open_dataset",
    "pixel_features",
    "read_image",
    "read_mask",
    "unreadable",
    "watched_workers",
]
