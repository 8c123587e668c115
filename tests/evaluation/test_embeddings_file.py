"""Files of embeddings that other programs leave behind, whole and broken."""

import zipfile

import numpy as np
import pytest

from reidlab.evaluation import read_embeddings

ARRAYS = {
    "q_emb": np.arange(800.0).reshape(8, 100),
    "g_emb": np.arange(900.0).reshape(9, 100),
    "q_pids": np.arange(8),
    "g_pids": np.arange(9),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("cameras", [{}, {"q_camids": np.ones(8, int), "g_camids": np.ones(9)}])
def test_what_was_saved_is_read(tmp_path, save, cameras):
    save(tmp_path / "a.npz", **ARRAYS, **cameras, of_something_else=np.ones(3))
    arrays = read_embeddings(str(tmp_path / "a.npz"))
    assert list(arrays) == [*ARRAYS, *cameras]
    for name, array in (ARRAYS | cameras).items():
        np.testing.assert_array_equal(arrays[name], array)


@pytest.mark.parametrize("names", [("q_cams", "g_cams"), ("q_camids", "g_cams")])
def test_misnamed_cameras_are_not_left_out_silently(tmp_path, names):
    np.savez(tmp_path / "a.npz", **ARRAYS, **dict.fromkeys(names, np.zeros(3, int)))
    with pytest.raises(ValueError, match=f"holds .*{names[1]}; expected .*q_camids"):
        read_embeddings(tmp_path / "a.npz")


def test_one_array_alone(tmp_path):
    np.save(tmp_path / "a.npy", ARRAYS["q_emb"])
    with pytest.raises(ValueError, match=r"one array without a name; expected q_emb.*numpy.savez"):
        read_embeddings(tmp_path / "a.npy")


def test_members_that_are_no_arrays(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        for name in ARRAYS:
            file.writestr(name, "text")
    with pytest.raises(ValueError, match="q_emb is no array; expected q_emb"):
        read_embeddings(tmp_path / "a.npz")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("place", [0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_damage_is_named(tmp_path, save, place):
    path = tmp_path / "a.npz"
    save(path, **ARRAYS)
    whole = path.read_bytes()
    at = int(place * len(whole))
    for broken in (
        whole[:at],
        whole[:at] + bytes(x ^ 0x5A for x in whole[at : at + 60]) + whole[at + 60 :],
    ):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"a\.npz"):
            read_embeddings(path)
