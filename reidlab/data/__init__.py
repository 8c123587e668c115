"""Data: on-disk layouts to tables, tables to batches."""

from reidlab.data.baselines import mask_path, mean_color_features, pixel_features
from reidlab.data.catalogue import list_datasets, open_dataset
from reidlab.data.dataset import DatasetError, DatasetWarning, ReIDDataset
from reidlab.data.help import data_help
from reidlab.data.images import read_image
from reidlab.data.loader import make_loader
from reidlab.data.samplers import IdentitySampler, ShuffleSampler
from reidlab.data.transforms import NORMALIZATIONS, build_transform, normalization_for

__all__ = [
    "NORMALIZATIONS",
    "DatasetError",
    "DatasetWarning",
    "IdentitySampler",
    "ReIDDataset",
    "ShuffleSampler",
    "build_transform",
    "data_help",
    "list_datasets",
    "make_loader",
    "mask_path",
    "mean_color_features",
    "normalization_for",
    "open_dataset",
    "pixel_features",
    "read_image",
]
