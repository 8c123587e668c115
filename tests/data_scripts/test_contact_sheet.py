"""The first figure of the book shows what the code draws today."""

import importlib.util
from pathlib import Path

import numpy as np
from PIL import Image

SCRIPT = Path(__file__).parents[2] / "data_scripts" / "contact_sheet.py"
spec = importlib.util.spec_from_file_location("contact_sheet", SCRIPT)
contact_sheet = importlib.util.module_from_spec(spec)
spec.loader.exec_module(contact_sheet)


def test_the_committed_sheet_is_up_to_date(tmp_path):
    out = tmp_path / "sheet.jpg"
    assert contact_sheet.main(["--out", str(out)]) == 0
    shown, drawn = (np.asarray(Image.open(p)).astype(int) for p in (contact_sheet.OUT, out))
    assert shown.shape == drawn.shape == (8 * 196 - 4, 7 * 100 - 4, 3)
    assert np.abs(shown - drawn).mean() < 1.0, "run python data_scripts/contact_sheet.py"
    assert contact_sheet.OUT.stat().st_size < 400_000
    first = np.asarray(Image.open(contact_sheet.OUT.with_name("contact_rows.jpg"))).astype(int)
    assert np.abs(first[:-8] - drawn[: len(first) - 8]).mean() < 1.0, "run it with --people 3"
