"""What is known of each data set before a file of it is seen: one card a set.

Counts are those of the official lists; where lists and papers disagree, a comment says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import pandas as pd


class Counts(NamedTuple):
    """What a split holds, junk and distractors not counted as people, junk not as images.

    `images` is None where no number was published (it differs between the 20 splits of CUHK03).
    """

    images: int | None
    people: int
    cameras: int


Published = Mapping[str, Counts]


@dataclass(frozen=True)
class DatasetCard:
    """What a data set is, who may have it, and what was published of it.

    Args:
        name: the name it is opened by.
        title: the name it is known by.
        citation: authors, title and place of the paper to cite.
        year: of that paper.
        subject: "people" or "vehicles".
        modality: "visible", or "visible + infrared".
        licence: in a few words.
        status: how it is to be had, in a few words.
        privacy: what was done to whom, in a sentence or two.
        ask: whom, or which page; empty where it is not to be had any more.
        root_hint: which folder to pass to `open_dataset`.
        camera_rule: which gallery images a query does not see.
        script: of `data_scripts/`, prepares a copy; empty where nothing has to be prepared.
        images: in the whole set, None where that is up to the user; likewise people and cameras.
        people: see images.
        cameras: see images.
        published: counts of each split with the default options; None where there are none.
        variants: the same with other options, keyed as in `counts`.
    """

    name: str
    title: str
    citation: str
    year: int | None
    subject: str
    modality: str
    licence: str
    status: str
    privacy: str
    ask: str
    root_hint: str
    camera_rule: str
    script: str
    images: int | None = None
    people: int | None = None
    cameras: int | None = None
    published: Published | None = None
    variants: Mapping[str, Published] = field(default_factory=dict)

    def counts(self, **options: object) -> Published | None:
        """Published counts of each split under some options; those of the default without any.

        Only options that change a count are asked for: CARDS["msmt17"].counts(val="out").
        """
        key = ", ".join(f"{option}={value}" for option, value in options.items())
        return self.variants.get(key, self.published)


def synthetic_card(card: DatasetCard) -> DatasetCard:
    """The card of a synthetic set written in the layout of another."""
    return replace(
        card,
        title=f"synthetic set in the layout of {card.title}",
        licence="none needed",
        status="synthetic",
        privacy="Nobody is in it.",
        ask="",
        published=None,
        variants={},
    )


def data_catalogue() -> pd.DataFrame:
    """All data sets that `open_dataset` knows, one row each, indexed by name.

    Columns: title, images, people (or vehicles), cameras, modality, licence, status, script. The
    three numbers are of the whole set, NA for "folder".
    """
    columns = ["title", "images", "people", "cameras", "modality", "licence", "status", "script"]
    frame = pd.DataFrame(
        [[getattr(card, column) for column in columns] for card in CARDS.values()],
        columns=columns,
        index=pd.Index(CARDS, name="name"),
    )
    return frame.astype(dict.fromkeys(("images", "people", "cameras"), "Int64"))


_SAME_CAMERA = "same id and same camera dropped"
_THREE_FOLDERS = "the folder that holds bounding_box_train, query and bounding_box_test"
_WITHDRAWN = (
    "It was recorded on a campus and published beyond what the university had approved, and was "
    "withdrawn in 2019; its authors asked that copies be taken down. The layout is supported for "
    "those who hold a lawful copy."
)
_IN_PUBLIC = (
    "Its people were filmed in a public place; as far as known, they did not consent to a data set."
)
_CUHK03_ROOT = (
    "the folder that holds cuhk03_release/cuhk-03.mat, or the images converted from it in "
    "images_detected and images_labeled"
)
_VEHICLE_RULE = f"{_SAME_CAMERA} (so a query's own copy in the gallery never counts)"


def _splits(train: Counts, query: Counts, gallery: Counts) -> Published:
    return {"train": train, "query": query, "gallery": gallery}


def _market1501() -> DatasetCard:
    return DatasetCard(
        name="market1501",
        title="Market-1501",
        citation=(
            'Zheng, Shen, Tian, Wang, Wang, Tian, "Scalable Person Re-identification: A '
            'Benchmark", ICCV 2015'
        ),
        year=2015,
        subject="people",
        modality="visible",
        licence="research only, no redistribution",
        status="on request",
        privacy=_IN_PUBLIC,
        ask="its authors, through zheng-lab.cecs.anu.edu.au/Project/project_reid.html",
        root_hint=_THREE_FOLDERS,
        camera_rule=f"{_SAME_CAMERA}, junk (-1) ignored, distractors (0) wrong",
        script="prepare_market1501.py",
        images=32_668,
        people=1_501,
        cameras=6,
        # The gallery is 19,732 files less 3,819 junk. The official page says 2,793 distractors,
        # the official id lists hold 2,798.
        published=_splits(Counts(12_936, 751, 6), Counts(3_368, 750, 6), Counts(15_913, 750, 6)),
    )


def _dukemtmc() -> DatasetCard:
    return DatasetCard(
        name="dukemtmc",
        title="DukeMTMC-reID",
        citation=(
            'Zheng, Zheng, Yang, "Unlabeled Samples Generated by GAN Improve the Person '
            'Re-identification Baseline in vitro", ICCV 2017'
        ),
        year=2017,
        subject="people",
        modality="visible",
        licence="was CC BY-NC-SA 4.0",
        status="withdrawn",
        privacy=_WITHDRAWN,
        ask="",
        root_hint=_THREE_FOLDERS,
        camera_rule=_SAME_CAMERA,
        script="prepare_dukemtmc.py",
        images=36_411,
        people=1_812,
        cameras=8,
        # The gallery's 1,110 are the 702 of the queries and 408 seen by one camera only.
        published=_splits(Counts(16_522, 702, 8), Counts(2_228, 702, 8), Counts(17_661, 1_110, 8)),
    )


def _occluded_duke() -> DatasetCard:
    return DatasetCard(
        name="occluded-duke",
        title="Occluded-Duke",
        citation=(
            'Miao, Wu, Liu, Ding, Yang, "Pose-Guided Feature Alignment for Occluded Person '
            'Re-identification", ICCV 2019'
        ),
        year=2019,
        subject="people",
        modality="visible",
        licence="lists public, images were CC BY-NC-SA 4.0",
        status="withdrawn (images), lists public",
        privacy=f"It is a list of images of DukeMTMC. {_WITHDRAWN}",
        ask="",
        root_hint=(
            "the folder that holds Occluded_Duke (with train.list, query.list and gallery.list) "
            "and DukeMTMC-reID side by side"
        ),
        camera_rule=f"{_SAME_CAMERA} (1,870 queries are gallery files too)",
        script="prepare_occluded_duke.py",
        images=35_489,
        people=1_812,
        cameras=8,
        published=_splits(Counts(15_618, 702, 8), Counts(2_210, 519, 8), Counts(17_661, 1_110, 8)),
    )


def _msmt17() -> DatasetCard:
    query, gallery = Counts(11_659, 3_060, 15), Counts(82_161, 3_060, 15)
    return DatasetCard(
        name="msmt17",
        title="MSMT17",
        citation=(
            'Wei, Zhang, Gao, Tian, "Person Transfer GAN to Bridge Domain Gap for Person '
            'Re-Identification", CVPR 2018'
        ),
        year=2018,
        subject="people",
        modality="visible",
        licence="research agreement, no redistribution",
        status="on request",
        privacy=f"{_IN_PUBLIC} Version 2 masks the faces; ask for that one.",
        ask="its authors (the group of Shiliang Zhang, Peking University) by e-mail",
        root_hint="the folder that holds list_train.txt, train and test (V2: mask_train_v2 ...)",
        camera_rule=_SAME_CAMERA,
        script="prepare_msmt17.py",
        images=126_441,
        people=4_101,
        cameras=15,
        # "Training" is 32,621 images in TransReID and QAConv (val is in), 30,248 in others.
        published=_splits(Counts(32_621, 1_041, 15), query, gallery),
        variants={"val=out": _splits(Counts(30_248, 1_041, 15), query, gallery)},
    )


def _cuhk03_np() -> DatasetCard:
    query = Counts(1_400, 700, 2)
    return DatasetCard(
        name="cuhk03-np",
        title="CUHK03 (new protocol)",
        citation=(
            'Li, Zhao, Xiao, Wang, "DeepReID", CVPR 2014; protocol: Zhong, Zheng, Cao, Li, '
            '"Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017'
        ),
        year=2017,
        subject="people",
        modality="visible",
        licence="research only, no redistribution",
        status="on request",
        privacy=(
            "Whether its people agreed to a data set is not stated in anything that we could check."
        ),
        ask="its authors, by the form at ee.cuhk.edu.hk/~xgwang/CUHK_identification.html",
        root_hint=(
            f"{_CUHK03_ROOT}, and cuhk03_new_protocol_config_detected.mat beside it; or the copy "
            "in Market-1501's format, the folder that holds detected and labeled"
        ),
        camera_rule=_SAME_CAMERA,
        script="prepare_cuhk03.py",
        # Detected boxes; 14,096 are labelled by hand. Ten cameras in five pairs: a person is seen
        # by one pair, so that every loader knows two "cameras", the views.
        images=14_097,
        people=1_467,
        cameras=2,
        published=_splits(Counts(7_365, 767, 2), query, Counts(5_332, 700, 2)),
        variants={"boxes=labeled": _splits(Counts(7_368, 767, 2), query, Counts(5_328, 700, 2))},
    )


def _cuhk03_classic() -> DatasetCard:
    test = Counts(None, 100, 2)
    return replace(
        _cuhk03_np(),
        name="cuhk03-classic",
        title="CUHK03 (classic, 20 splits)",
        citation=(
            'Li, Zhao, Xiao, Wang, "DeepReID: Deep Filter Pairing Neural Network for Person '
            'Re-Identification", CVPR 2014'
        ),
        year=2014,
        root_hint=_CUHK03_ROOT,
        camera_rule=f"{_SAME_CAMERA}, then one gallery image drawn of each person",
        published=_splits(Counts(None, 1_367, 2), test, test),
        variants={},
    )


def _veri776() -> DatasetCard:
    return DatasetCard(
        name="veri776",
        title="VeRi-776",
        citation=(
            'Liu, Liu, Mei, Ma, "A Deep Learning-Based Approach to Progressive Vehicle '
            'Re-identification for Urban Surveillance", ECCV 2016'
        ),
        year=2016,
        subject="vehicles",
        modality="visible",
        licence="non-commercial, no redistribution",
        status="on request",
        privacy="Vehicles in public traffic; a vehicle leads to its owner.",
        ask="its authors by e-mail, see vehiclereid.github.io/VeRi",
        root_hint="the folder that holds image_train, image_query and image_test",
        camera_rule=_VEHICLE_RULE,
        script="prepare_veri776.py",
        images=49_357,  # queries are files of the gallery too
        people=776,
        cameras=20,
        published=_splits(Counts(37_778, 576, 20), Counts(1_678, 200, 19), Counts(11_579, 200, 19)),
    )


def _randperson() -> DatasetCard:
    nothing = Counts(0, 0, 0)
    return DatasetCard(
        name="randperson",
        title="RandPerson (subset)",
        citation=(
            'Wang, Liao, Shao, "Surpassing Real-World Source Training Data: Random 3D Characters '
            'for Generalizable Person Re-Identification", ACM MM 2020'
        ),
        year=2020,
        subject="people",
        modality="visible",
        licence="Apache-2.0 (repository)",
        status="synthetic, public",
        privacy="Its people are synthetic.",
        ask="its page, github.com/VideoObjectSearch/RandPerson",
        root_hint="the folder that holds randperson_subset, or that folder itself",
        camera_rule="none: for training only",
        script="prepare_randperson.py",
        images=132_145,
        people=8_000,
        cameras=19,
        published=_splits(Counts(132_145, 8_000, 19), nothing, nothing),
    )


def _sysu_mm01() -> DatasetCard:
    train, query = Counts(34_167, 395, 6), Counts(3_803, 96, 2)
    galleries = {
        "mode=indoor, shots=1": Counts(112, 56, 2),
        "mode=all, shots=10": Counts(3_010, 96, 4),
        "mode=indoor, shots=10": Counts(1_120, 56, 2),
        "mode=all, trial=None": Counts(6_775, 96, 4),  # the pool that trials draw from
        "mode=indoor, trial=None": Counts(2_939, 56, 2),
    }
    return DatasetCard(
        name="sysu-mm01",
        title="SYSU-MM01",
        citation=(
            'Wu, Zheng, Yu, Gong, Lai, "RGB-Infrared Cross-Modality Person Re-Identification", '
            "ICCV 2017"
        ),
        year=2017,
        subject="people",
        modality="visible + infrared",
        licence="signed agreement, research only",
        status="on request",
        privacy="Its authors state that every pedestrian signed a privacy licence.",
        ask="the group at Sun Yat-sen University, see github.com/wuancong/SYSU-MM01",
        root_hint="the folder that holds cam1 to cam6 and exp",
        camera_rule="a query of camera 3 does not see camera 2, whoever is there",
        script="prepare_sysu_mm01.py",
        images=45_863,  # 30,071 visible, 15,792 infrared
        people=491,  # seen in both modalities; 1,118 images are of others, who are in no split
        cameras=6,
        # Training: 22,258 visible and 11,909 infrared images of the ids in train_id and val_id.
        published=_splits(train, query, Counts(301, 96, 4)),
        variants={key: _splits(train, query, gallery) for key, gallery in galleries.items()},
    )


def _regdb() -> DatasetCard:
    test = Counts(2_060, 206, 1)
    return DatasetCard(
        name="regdb",
        title="RegDB",
        citation=(
            'Nguyen, Hong, Kim, Park, "Person Recognition System Based on a Combination of Body '
            'Images from Visible Light and Thermal Cameras", Sensors 2017'
        ),
        year=2017,
        subject="people",
        modality="visible + infrared",
        licence="signed form, research only",
        status="on request",
        privacy="People recorded by a visible and a thermal camera at once.",
        ask="Dongguk University (DBPerson-Recog-DB1), by the form at dm.dongguk.edu/link.html",
        root_hint="the folder that holds Visible, Thermal and idx",
        camera_rule="none: query and gallery are of two cameras",
        script="prepare_regdb.py",
        images=8_240,
        people=412,
        cameras=2,
        published=_splits(Counts(4_120, 206, 2), test, test),
    )


def _pku_reid() -> DatasetCard:
    train, all_images, half = Counts(992, 62, 2), Counts(192, 12, 2), Counts(912, 57, 2)
    return DatasetCard(
        name="pku-reid",
        title="PKU-Reid",
        citation=(
            'Ma, Liu, Hu, Wang, Sun, "Orientation driven bag of appearances for person '
            're-identification", arXiv 1605.02464'
        ),
        year=2016,
        subject="people",
        modality="visible",
        licence="CC BY-NC-SA 4.0",
        status="public",
        privacy="Real people in eight orientations; show none of them.",
        ask=(
            "its page, github.com/charliememory/PKU-Reid-Dataset; 74 of the 114 people, in the "
            "split of LA-TF++, are the folder data of github.com/aditi184/Person_Re-Identification"
        ),
        root_hint=(
            "the folder that holds train and val (LA-TF++), or train and test, or all images "
            "(the release)"
        ),
        camera_rule=_SAME_CAMERA,
        script="prepare_pku_reid.py",
        images=1_824,
        people=114,
        cameras=2,
        published=_splits(train, all_images, all_images),
        variants={
            "split=la-tf-pp": _splits(train, Counts(28, 12, 2), Counts(181, 12, 2)),
            "split=57-57": _splits(half, half, half),
        },
    )


def _folder() -> DatasetCard:
    return DatasetCard(
        name="folder",
        title="your own images",
        citation="",
        year=None,
        subject="people",
        modality="visible",
        licence="yours to know",
        status="your own",
        privacy="You answer for the people in it.",
        ask="",
        root_hint=(
            "a folder of <person>/<camera>/*.jpg, the same below train, query and gallery, or a "
            "CSV file with columns path, pid and camid"
        ),
        camera_rule=_SAME_CAMERA,
        script="",
    )


CARDS: Mapping[str, DatasetCard] = {
    card.name: card
    for card in (
        _market1501(),
        _dukemtmc(),
        _occluded_duke(),
        _msmt17(),
        _cuhk03_np(),
        _cuhk03_classic(),
        _veri776(),
        _randperson(),
        _sysu_mm01(),
        _regdb(),
        _pku_reid(),
        _folder(),
    )
}
