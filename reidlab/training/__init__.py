"""From a recipe to a trained model and the record of how it was made."""

from reidlab.errors import RecipeError
from reidlab.judging.embedding import embed, evaluate_on
from reidlab.judging.validation import split_validation
from reidlab.processes import ProcessError, gather, is_main_process, shared_batch_norm
from reidlab.record import RecordError, RunRecord
from reidlab.seed import seed_everything
from reidlab.training.checkpoint import CheckpointError
from reidlab.training.fitting import evaluate_run, fit, load_run, training_batches
from reidlab.training.guards import TrainingDiverged
from reidlab.training.loop import train_epoch
from reidlab.training.objectives import Objective
from reidlab.training.recipe import Recipe, build_model
from reidlab.training.session import Session

__all__ = [
    "CheckpointError",
    "Objective",
    "ProcessError",
    "Recipe",
    "RecipeError",
    "RecordError",
    "RunRecord",
    "Session",
    "TrainingDiverged",
    "build_model",
    "embed",
    "evaluate_on",
    "evaluate_run",
    "fit",
    "gather",
    "is_main_process",
    "load_run",
    "seed_everything",
    "shared_batch_norm",
    "split_validation",
    "train_epoch",
    "training_batches",
]
