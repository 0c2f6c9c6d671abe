"""Pickles of numpy arrays, read without running what a pickle may ask for."""

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any


class NumpyUnpickler(pickle.Unpickler):
    """Reads numbers, strings, containers and numpy arrays, and refuses every other class and function.

    Files of Python 2 are read too; their strings are taken as Latin-1, as the bytes of arrays need it.
    """

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle may call: the makers of numpy arrays alone.

        Raises:
            pickle.UnpicklingError: If it asks for anything else.
        """
        import numpy as np

        # Rebuilding an array of the running numpy tells where its functions are, which differs between versions.
        rebuild, rebuild_scalar = np.zeros(0).__reduce__()[0], np.float32(0).__reduce__()[0]
        allowed = {
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("numpy.core.multiarray", "_reconstruct"): rebuild,
            ("numpy._core.multiarray", "_reconstruct"): rebuild,
            ("numpy.core.multiarray", "scalar"): rebuild_scalar,
            ("numpy._core.multiarray", "scalar"): rebuild_scalar,
            ("collections", "OrderedDict"): OrderedDict,
            ("_codecs", "encode"): _encode_latin1,
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return allowed[module, name]


def read_numpy_pickle(path: str | Path) -> Any:
    """Read a pickle that holds numpy arrays, numbers, strings and containers alone.

    Args:
        path: The file.

    Raises:
        ValueError: If it holds, or asks to call, anything else, or is no pickle.
    """
    with Path(path).open("rb") as file:
        try:
            return NumpyUnpickler(file, encoding="latin1").load()
        except Exception as error:  # a damaged pickle may fail in any way
            raise ValueError(
                f"Expected '{path}' to be a pickle of numpy arrays and containers alone ({error})"
            ) from error


def _encode_latin1(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes by the protocols of Python 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r}")
    return text.encode(encoding)
