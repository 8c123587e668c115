"""What a reader takes from world.json: which cameras are infrared, and that it is whole."""

import pytest

from reidlab.data import DatasetError, open_dataset


def test_cameras_after_the_visible_ones_are_infrared(market_root):
    (market_root / "world.json").write_text('{"world": {"cameras": 2, "infrared_cameras": 4}}')
    ds = open_dataset("market1501", market_root)
    for frame in (ds.train, ds.query, ds.gallery):
        by_hand = ["infrared" if camid in (2, 3, 4, 5) else "visible" for camid in frame["camid"]]
        assert frame["modality"].tolist() == by_hand
    assert set(ds.train["modality"]) == {"visible", "infrared"}


@pytest.mark.parametrize(
    "text", ["", "half", "[]", '{"world": []}', '{"world": {"infrared_cameras": 2}}']
)
def test_a_damaged_world_is_an_error(market_root, text):
    (market_root / "world.json").write_text(text)
    with pytest.raises(DatasetError, match=r"cannot read .*world\.json .*delete .*write it again"):
        open_dataset("market1501", market_root)
