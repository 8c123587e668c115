"""The rows of the history in a viewer."""

import pytest
from accelerate.tracking import GeneralTracker

from reidlab.training import build_model, fit, tracking


class Notebook(GeneralTracker):
    """Writes down what it is told."""

    name, requires_logging_directory, tracker = "notebook", False, None

    def __init__(self):
        super().__init__()
        self.rows, self.told = [], []

    def start(self):
        self.told.append("start")

    def store_init_configuration(self, values):
        self.told.append("configuration")

    def log(self, values, step=None, **_):
        self.rows.append((step, values))

    def finish(self):
        self.told.append("finish")


@pytest.fixture
def tiny(recipe):
    return recipe.replace(
        image_size=(32, 16),
        depth=1,
        epochs=2,
        identities_per_batch=2,
        validate_every=2,
        validation_identities=2,
    )


def test_it_gets_each_row_once(ds, tiny, tmp_path):
    tracker = Notebook()
    record = fit(build_model(tiny, ds), ds, tiny, out=tmp_path, tracker=tracker)
    assert tracker.told == ["start", "finish"]
    assert [step for step, _ in tracker.rows] == [1, 2]
    for (_, found), row in zip(tracker.rows, record.history, strict=True):
        assert found["loss"] == row["loss"]
        assert found["losses/triplet"] == row["losses"]["triplet"]
        assert found["images_per_second"] == row["images"] / row["seconds"]
        assert all(type(value) is float for value in found.values())
    assert "validation/mAP" not in tracker.rows[0][1]
    assert tracker.rows[1][1]["validation/mAP"] == record.history[1]["validation"]["mAP"]
    assert not any("rank" in name for name in tracker.rows[0][1])
    fit(build_model(tiny, ds), ds, tiny, out=tmp_path, tracker=tracker)
    assert len(tracker.rows) == 2, "a finished run is read back"


def test_it_is_closed_when_training_stops(ds, tiny, tmp_path, stopped_in):
    tracker = Notebook()
    with stopped_in(1):
        fit(build_model(tiny, ds), ds, tiny, out=tmp_path, tracker=tracker)
    assert tracker.told == ["start", "finish"]


def test_it_changes_no_result(ds, tiny, tmp_path):
    losses = [
        [
            row["loss"]
            for row in fit(
                build_model(tiny, ds), ds, tiny, out=tmp_path / str(tracker is None),
                tracker=tracker,
            ).history
        ]
        for tracker in (None, Notebook())
    ]  # fmt: skip
    assert losses[0] == losses[1]


def test_not_installed(ds, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "is_tensorboard_available", lambda: False)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'reidlab\[track\]', or pass track"):
        fit(build_model(tiny, ds), ds, tiny, out=tmp_path, tracker="tensorboard")
    assert not list(tmp_path.iterdir())


def test_an_unknown_one(ds, tiny, tmp_path):
    with pytest.raises(ValueError, match=r"tracker is 'wandb'; expected None, 'tensorboard' or"):
        fit(build_model(tiny, ds), ds, tiny, out=tmp_path, tracker="wandb")


def test_tensorboard(ds, tiny, tmp_path):
    pytest.importorskip("tensorboard", reason="comes with reidlab[track]")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    record = fit(build_model(tiny, ds), ds, tiny, out=tmp_path, tracker="tensorboard")
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    found = events.Scalars("loss")
    assert [event.step for event in found] == [1, 2]
    assert [event.value for event in found] == pytest.approx([r["loss"] for r in record.history])
