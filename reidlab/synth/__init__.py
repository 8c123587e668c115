"""The synthetic world: people who do not exist, with knobs and ground truth.

`World` holds the knobs and renders images; `write_dataset` puts them on disk in a benchmark's layout.
"""

from .body import PARTS
from .styles import STYLES
from .world import PRETRAINING_SEEDS, Pictures, World
from .writers import layouts, write_dataset

__all__ = ["PARTS", "PRETRAINING_SEEDS", "STYLES", "Pictures", "World", "layouts", "write_dataset"]
