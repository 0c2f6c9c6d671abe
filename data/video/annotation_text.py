"""The text of an annotation."""

from pathlib import Path


def annotation_text(path: Path) -> str:
    """The text of a file in UTF-8, its line ends as they are, without the byte order mark that spreadsheets put first.

    Raises:
        ValueError: If it is in another encoding.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte, line = error.object[error.start], error.object.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"Expected {path} to be text in UTF-8 (got the byte 0x{byte:02x} in line {line}): save it in that "
            "encoding, which spreadsheets call 'CSV UTF-8'"
        ) from error
