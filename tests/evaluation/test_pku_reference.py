"""Reference values on real images: a pixel feature on PKU-Reid under several rules.

The values were computed by another program (float64, a stable sort of the scores). They need the
images, which are not ours to ship: set REIDLAB_PKU_ROOT to the folder that holds train/ and val/.
"""

import numpy as np
import pytest
from PIL import Image

from reidlab.evaluation import evaluate


def read(folder, flip=False):
    """Pixel features (N, 588), ids, cameras and files' contents of a folder, in path order."""
    features, pids, camids, contents = [], [], [], []
    for path in sorted(folder.glob("*/*.png")):
        image = Image.open(path).convert("RGB").resize((14, 14), Image.Resampling.BICUBIC)
        pixels = np.asarray(image, np.float64) / 255
        pixels = (pixels - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        rows = (pixels[:, ::-1] if flip else pixels).reshape(14, 42)
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True) / np.sqrt(14)
        features.append(rows.ravel())
        pids.append(int(path.parent.name))
        camids.append(int(path.stem[:2]) - 1)
        contents.append(path.read_bytes())
    return np.array(features), np.array(pids), np.array(camids), contents


def judged(query, gallery, **options):
    (q_emb, q_pids, q_camids, _), (g_emb, g_pids, g_camids, _) = query, gallery
    result = evaluate(q_emb, g_emb, q_pids, g_pids, q_camids, g_camids, **options)
    assert result.num_valid == len(q_pids)
    return result


def percent(query, gallery, **options):
    result = judged(query, gallery, **options)
    values = result.rank1, result.cmc(5), result.cmc(10), result.mAP
    return [round(100 * value, 2) for value in values]


def test_all_images_against_all(real_pku_root):
    images = read(real_pku_root / "val" / "all_imgs")
    assert len(images[1]) == 192
    assert percent(images, images) == [5.21, 21.88, 30.21, 8.53]


@pytest.mark.parametrize(
    ("flip", "protocol", "expected"),  # Rank-1, 5, 10, AP over the top ten, mAP
    [
        (False, "la-official", [71.43, 89.29, 92.86, 65.83, 24.40]),
        (False, "no copies", [25.00, 67.86, 82.14, 40.61, 19.92]),
        (False, "standard", [7.14, 32.14, 46.43, 19.05, 10.56]),
        (True, "la-official", [39.29, 78.57, 89.29, 42.72, 22.75]),
        (True, "standard", [3.57, 32.14, 46.43, 13.15, 10.80]),
    ],
)
def test_official_query_and_gallery(real_pku_root, flip, protocol, expected):
    root = real_pku_root / "val"
    query, gallery = read(root / "query", flip), read(root / "gallery")
    assert (len(query[1]), len(gallery[1])) == (28, 181)
    if protocol == "no copies":
        # Each file its own "camera": the standard rule then drops the copy of the query alone.
        numbers = {content: n for n, content in enumerate(dict.fromkeys(query[3] + gallery[3]))}
        query, gallery = (
            (emb, pids, [numbers[content] for content in contents], contents)
            for emb, pids, _, contents in (query, gallery)
        )
        protocol = "standard"
    assert percent(query, gallery, protocol=protocol, ap="mean_precision") == [
        *expected[:3],
        expected[4],
    ]
    top10 = judged(query, gallery, protocol=protocol, ap="top10").mAP
    assert round(100 * top10, 2) == expected[3]


@pytest.mark.parametrize(
    ("camera", "expected"),
    [(0, [33.33, 65.62, 71.88, 24.50]), (1, [31.25, 71.88, 84.38, 24.37])],
)
def test_from_one_camera_to_the_other(real_pku_root, camera, expected):
    features, pids, camids, contents = read(real_pku_root / "val" / "all_imgs")
    one, other = camids == camera, camids != camera
    query = features[one], pids[one], camids[one], contents
    gallery = features[other], pids[other], camids[other], contents
    assert percent(query, gallery) == expected
