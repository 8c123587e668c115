"""From a recipe to a trained model and the record of how it was made."""

from reidlab.training.checkpoint import CheckpointError
from reidlab.training.embedding import embed, evaluate_on
from reidlab.training.fit import fit, load_run
from reidlab.training.guards import TrainingDiverged
from reidlab.training.processes import ProcessError, gather, is_main_process, shared_batch_norm
from reidlab.training.recipe import Recipe, RecipeError, build_model
from reidlab.training.record import RecordError, RunRecord
from reidlab.training.seed import seed_everything
from reidlab.training.validation import split_validation

__all__ = [
    "CheckpointError",
    "ProcessError",
    "Recipe",
    "RecipeError",
    "RecordError",
    "RunRecord",
    "TrainingDiverged",
    "build_model",
    "embed",
    "evaluate_on",
    "fit",
    "gather",
    "is_main_process",
    "load_run",
    "seed_everything",
    "shared_batch_norm",
    "split_validation",
]
