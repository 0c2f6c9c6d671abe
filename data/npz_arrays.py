"""Reading the arrays of an npz file with errors that say what is wrong with it and how to mend it."""

import zipfile
import zlib
from pathlib import Path

import numpy as np


def read_npz(
    path: str | Path, expected: dict[str, tuple[str, tuple[int | None, ...]]], remedy: str
) -> dict[str, np.ndarray]:
    """Reads named arrays and checks their kinds and shapes.

    Args:
        path: The npz file.
        expected: For each array, its kind (``"integer"`` or ``"bool"``) and its shape, None where any length will do.
        remedy: How to get a good file; ends every message.

    Returns:
        The arrays by name.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, or an array is missing or not as expected.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"Expected the file {path}, which does not exist. {remedy}")
    arrays = {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = archive.files if isinstance(archive, np.lib.npyio.NpzFile) else []
            for name in expected:
                if name not in names:
                    raise KeyError(name)
                arrays[name] = archive[name]
    except KeyError as error:
        raise ValueError(
            f"Expected {path} to hold the array '{error.args[0]}' (got only {sorted(names)}). {remedy}"
        ) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"Expected {path} to be a whole npz file, but it is damaged ({error}). {remedy}") from error
    for name, (kind, shape) in expected.items():
        array = arrays[name]
        right_kind = array.dtype.kind in ("b" if kind == "bool" else "iu")
        right_shape = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
        if not right_kind or not right_shape:
            wanted = "[" + ", ".join("*" if n is None else str(n) for n in shape) + "]"
            raise ValueError(
                f"Expected '{name}' of {path} to be {kind} {wanted} (got {array.dtype} {list(array.shape)}). {remedy}"
            )
    return arrays
