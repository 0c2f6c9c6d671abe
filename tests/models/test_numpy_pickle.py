import pickle
from collections import OrderedDict

import numpy as np
import pytest

from rstg_pyg.models.numpy_pickle import read_numpy_pickle

# {"conv1_w": np.array([1.0, 2.0], np.float32)} as Python 2 wrote it.
PYTHON_2 = (
    b"\x80\x02}U\x07conv1_wcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
    b"U\x08" + np.array([1.0, 2.0], "<f4").tobytes() + b"tbs."
)


class Calls:
    """Asks a pickle to call something when it is read."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "blobs.pkl"
        path.write_bytes(content)
        return path

    return write


def test_file_of_python_2(write):
    blobs = read_numpy_pickle(write(PYTHON_2))
    assert list(blobs) == ["conv1_w"]
    assert blobs["conv1_w"].dtype == np.float32
    assert blobs["conv1_w"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_arrays_numbers_and_containers(write, protocol):
    array = np.random.default_rng(0).random((3, 4)).astype(np.float32)
    content = {"blobs": OrderedDict(a=array, lr=np.float32(0.5), n=[1, (2.0, "x", None, True)])}
    read = read_numpy_pickle(write(pickle.dumps(content, protocol)))
    np.testing.assert_array_equal(read["blobs"].pop("a"), content["blobs"].pop("a"))
    assert read == content


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    "asks",
    [
        Calls(eval, "open('ran', 'w')"),
        Calls(open, "ran", "w"),
        Calls(getattr, "text", "upper"),
        Calls(np.loadtxt, "blobs.pkl"),
        Calls(pickle.loads, pickle.dumps(Calls(open, "ran", "w"))),
        np.array([Calls(open, "ran", "w")], dtype=object),
    ],
)
def test_nothing_else_is_called(write, tmp_path, monkeypatch, asks, protocol):
    monkeypatch.chdir(tmp_path)
    path = write(pickle.dumps({"blobs": {"conv1_w": asks}}, protocol))
    with pytest.raises(ValueError, match=r"to be a pickle of numpy arrays and containers alone \(it asks for \w+"):
        read_numpy_pickle(path)
    assert not (tmp_path / "ran").exists()


def test_damaged_file(write):
    for content in (b"", PYTHON_2[:-20], b"PK\x03\x04"):
        with pytest.raises(ValueError, match=r"blobs.pkl' to be a pickle of numpy arrays and containers alone"):
            read_numpy_pickle(write(content))
