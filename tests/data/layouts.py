"""Tiny folders in the layouts of all data sets, of empty files: no reader may open an image."""

import json
from pathlib import Path

import h5py
import numpy as np
from scipy.io import savemat


def touch(root, names):
    """Empty files, with the folders above them."""
    for name in names:
        path = Path(root) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def write_list(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


MARKET = [
    "bounding_box_train/0002_c1s1_000451_03.jpg",
    "bounding_box_train/0007_c2s3_000001_00.jpg",
    "query/0001_c1s1_001051_00.jpg",
    "bounding_box_test/-1_c1s1_000401_03.jpg",
    "bounding_box_test/0000_c3s1_000551_01.jpg",
    "bounding_box_test/0001_c6s3_012345_02.jpg",
]


def market1501(root):
    touch(root, MARKET)
    return root


DUKE = [
    "bounding_box_train/0001_c1_f0046182.jpg",
    "bounding_box_train/0001_c8_f0046302.jpg",
    "bounding_box_train/0009_c2_f0000120.jpg",
    "query/0005_c2_f0046985.jpg",
    "query/0006_c3_f0046985.jpg",
    "bounding_box_test/0005_c5_f0051341.jpg",
    "bounding_box_test/0006_c3_f0047105.jpg",  # query 6 has no match: the same camera
    "bounding_box_test/7139_c4_f0078085.jpg",  # seen by one camera
]


def dukemtmc(root):
    touch(root, DUKE)
    return root


OCCLUDED = {
    "train": ["0001_c1_f0046182.jpg", "0009_c2_f0000120.jpg"],
    "query": ["0005_c2_f0046985.jpg", "0005_c5_f0051341.jpg"],  # the second is a gallery file
    "gallery": ["0005_c5_f0051341.jpg", "0006_c3_f0047105.jpg", "7139_c4_f0078085.jpg"],
}


def occluded_duke(root):
    touch(root / "DukeMTMC-reID", DUKE)
    for split, names in OCCLUDED.items():
        write_list(root / "Occluded_Duke" / f"{split}.list", names)
    return root


MSMT17 = {
    "train": [
        "0000/0000_000_01_0303morning_0015_0.jpg 0",
        "0000/0000_001_01_0303morning_0015_0_ex.jpg 0",
        "0001/0001_004_15_0113noon_0020_11.jpg 1",
    ],
    "val": ["0001/0001_009_07_0302afternoon_0007_2.jpg 1"],
    "query": ["0000/0000_000_03_0114morning_0015_0.jpg 0"],
    "gallery": [
        "0000/0000_003_04_0114morning_0015_0_ex.jpg 0",
        "0002/0002_000_03_0114morning_0015_0.jpg 2",
    ],
}


def msmt17(root, folders=("train", "test")):
    for name, lines in MSMT17.items():
        folder = folders[name in ("query", "gallery")]
        touch(root / folder, [line.split()[0] for line in lines])
        write_list(root / f"list_{name}.txt", lines)
    return root


CUHK03 = {  # name -> running number of the person, whose pairs hold 2, 1, 1, 1 and 1 people here
    "1_001_1_01.png": 1,
    "1_001_1_02.png": 1,
    "1_001_2_06.png": 1,
    "1_002_1_01.png": 2,
    "1_002_1_05.png": 2,
    "1_002_2_07.png": 2,
    "1_002_2_10.png": 2,
    "2_001_1_03.png": 3,
    "2_001_2_06.png": 3,
    "3_001_2_06.png": 4,  # one view only
    "5_001_1_01.png": 6,
}
CUHK03_PEOPLE = (2, 1, 1, 1, 1)
CUHK03_SPLIT = {  # people 1, 3, 4, 6 are trained on, 2 is tested
    "train": [name for name, pid in CUHK03.items() if pid != 2],
    "query": ["1_002_1_05.png", "1_002_2_07.png"],
    "gallery": ["1_002_1_01.png", "1_002_2_10.png"],
}


def pixels_of(name):
    """(8, 4, 3), not symmetric in any direction and another for each name."""
    seed = int("".join(filter(str.isdigit, name)))
    return np.random.default_rng(seed).integers(0, 256, (8, 4, 3), np.uint8)


def cell(*items):
    """A MATLAB cell, n x 1."""
    cells = np.empty((len(items), 1), object)
    for i, item in enumerate(items):
        cells[i, 0] = item
    return cells


def write_cuhk03_mat(path, names=tuple(CUHK03), test_sets=((1, 2),)):
    """cuhk-03.mat as MATLAB writes it; both boxes hold the same images, set 19 has `test_sets`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        group = file.create_group("#refs#")

        def put(data):
            return group.create_dataset(str(len(group)), data=data).ref

        empty = put(np.zeros(2, np.uint64))  # a size of 0 x 0, as MATLAB has it
        for boxes in ("labeled", "detected"):
            pairs = []
            for pair, people in enumerate(CUHK03_PEOPLE, start=1):
                cells = np.full((10, people), empty, h5py.ref_dtype)
                for name in names:
                    its_pair, person, _, slot = name.removesuffix(".png").split("_")
                    if int(its_pair) == pair:
                        cells[int(slot) - 1, int(person) - 1] = put(pixels_of(name).T)
                pairs.append(group.create_dataset(f"{boxes}{pair}", data=cells).ref)
            file[boxes] = np.array([pairs], h5py.ref_dtype)
        sets = [put(np.array([[1, 1]], float).T)] * 19 + [put(np.array(test_sets, float).T)]
        file["testsets"] = np.array([sets], h5py.ref_dtype)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    return path


def config(**changes):
    """Variables of cuhk03_new_protocol_config_detected.mat."""
    names = list(CUHK03)
    places = {
        f"{split}_idx": np.array([[names.index(name) + 1] for name in chosen], float)
        for split, chosen in CUHK03_SPLIT.items()
    }
    return {
        "filelist": cell(*names),
        "labels": np.array([[pid] for pid in CUHK03.values()], float),
        "camId": np.array([[int(name[6])] for name in names], float),
        **places,
        **changes,
    }


def write_config(root, boxes="detected", **changes):
    savemat(root / f"cuhk03_new_protocol_config_{boxes}.mat", config(**changes))


def json_split(cam_shift=0):
    """A split as torchreid writes it, on a machine with another root."""
    rows = {
        split: [
            [f"/home/somebody/data/cuhk03/images_detected/{name}", 0, int(name[6]) - 1 + cam_shift]
            for name in names
        ]
        for split, names in CUHK03_SPLIT.items()
    }
    return {**rows, "num_train_pids": 4}


def write_json(root, kind="new", boxes="detected", count=1, **changes):
    path = root / f"splits_{kind}_{boxes}.json"
    path.write_text(json.dumps([json_split(**changes)] * count))
    return path


def cuhk03_images(root):
    """The converted images with the configuration."""
    touch(root / "images_detected", CUHK03)
    write_config(root)
    return root


def cuhk03(root):
    """cuhk-03.mat, one configuration and nothing else."""
    write_cuhk03_mat(root / "cuhk03_release" / "cuhk-03.mat", test_sets=((1, 2), (2, 1)))
    write_config(root)
    return root


def cuhk03_market(root):
    touch(
        root / "detected",
        [
            "bounding_box_train/0003_c1_21.png",
            "query/0004_c2_7.png",
            "bounding_box_test/0004_c1_1.jpg",
        ],
    )
    return root


VERI = {
    "train": ["0001_c001_00016450_0.jpg", "0001_c020_00016460_0.jpg"],
    "query": ["0002_c002_00030600_0.jpg"],
    "test": ["0002_c002_00030600_0.jpg", "0002_c003_00030600_1.jpg", "0005_c019_00030600_0.jpg"],
}


def veri776(root):
    for part, names in VERI.items():
        touch(root / f"image_{part}", names)
        write_list(root / f"name_{part}.txt", names)
    return root


def veri_labels(root, names, **wrong):
    """An xml as the set's own, its encoding included."""
    items = "".join(
        f'<Item imageName="{name}" vehicleID="{wrong.get("vehicle", name[:4])}" '
        f'cameraID="{name[5:9]}" colorID="{i + 1}" typeID="4" />\n'
        for i, name in enumerate(names)
    )
    text = f'<?xml version="1.0" encoding="gb2312"?>\n<T Version="1.0"><Items>{items}</Items></T>'
    root.write_bytes(text.encode())


RANDPERSON = [
    "000000_s00_c00_f000264.jpg",
    "000000_s03_c01_f000264.jpg",
    "000007_s05_c00_f100264.jpg",
    "007999_s10_c03_f000001.jpg",
]


def randperson(root):
    touch(root / "randperson_subset", RANDPERSON)
    return root


SYSU_IDS = {"train_id": [1, 2], "val_id": [3], "test_id": [6, 10, 21]}
SYSU_VISITS = {  # person -> cameras; person 21 was never in camera 1 or 2, person 50 is in no list
    1: (1, 3),
    2: (2, 5, 6),
    3: (4, 6),
    6: (1, 2, 3, 4, 5, 6),
    10: (1, 3, 4, 6),
    21: (4, 5, 6),
    50: (1, 2),
}


def sysu_mm01(root, images=12):
    for person, cameras in SYSU_VISITS.items():
        for camera in cameras:
            names = [f"cam{camera}/{person:04d}/{i + 1:04d}.jpg" for i in range(images)]
            touch(root, names)
    for name, ids in SYSU_IDS.items():
        write_list(root / "exp" / f"{name}.txt", [",".join(map(str, ids))])
    return root


REGDB_FRAMES = {"train": {285: (5528, 5530)}, "test": {7: (11, 9), 412: (90, 100)}}


def regdb_name(part, person, frame):
    return f"{part}/{person}/male_back_{part[0].lower()}_{frame:05d}_{person}.bmp"


def regdb(root):
    for part in ("Visible", "Thermal"):
        for split, people in REGDB_FRAMES.items():
            lines = [
                f"{regdb_name(part, person, frame)} {label}"
                for label, (person, frames) in enumerate(people.items())
                for frame in frames
            ]
            write_list(root / "idx" / f"{split}_{part.lower()}_1.txt", lines)
            touch(root, [line.split()[0] for line in lines])
    return root


def pku_reid(root):
    touch(root / "train", ["001/01_1.png", "001/02_8.png", "010/01_1.png"])
    for part in ("all_imgs", "query", "gallery"):
        touch(root / "val" / part, ["004/01_1.png", "004/02_3.png"])
    return root


def pku_release(root):
    touch(root / "train", ["1_1_1.png", "1_2_8.png", "013_01_5.png"])
    touch(root / "test", ["2_1_1.png", "2_2_4.png"])
    return root


def folder(root):
    touch(root, ["3/a/x.jpg", "3/b/y.png", "12/a/x.jpg", "12/b/z.JPEG"])
    return root


# name -> (builder, a folder where images of the set lie)
LAYOUTS = {
    "market1501": (market1501, "query"),
    "dukemtmc": (dukemtmc, "bounding_box_test"),
    "occluded-duke": (occluded_duke, "DukeMTMC-reID/bounding_box_test"),
    "msmt17": (msmt17, "train/0000"),
    "cuhk03-np": (cuhk03_images, "images_detected"),
    "cuhk03-classic": (cuhk03, None),
    "veri776": (veri776, "image_test"),
    "randperson": (randperson, "randperson_subset"),
    "sysu-mm01": (sysu_mm01, "cam3/0006"),
    "regdb": (regdb, "Thermal/7"),
    "pku-reid": (pku_reid, "train/001"),
    "folder": (folder, "12/b"),
}
