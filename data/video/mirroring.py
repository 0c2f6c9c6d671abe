"""What a class becomes when its videos are mirrored."""

import re
from collections.abc import Sequence

_SIDES = {"left": "right", "right": "left"}
_SIDE = re.compile("left|right", re.IGNORECASE)
_SIDE_AS_A_WORD = re.compile(r"(?<![^\W\d_])(?:left|right)(?![^\W\d_])", re.IGNORECASE)  # no letter beside it


def mirrored_labels(class_names: Sequence[str]) -> list[int]:
    """The label of each class's mirrored videos.

    "left" and "right" change places in the name ("from left to right" becomes "from right to left", "turn_left"
    "turn_right", "Left turn" "Right turn"): wherever they stand, if that gives a class ("leftwards" and "rightwards"),
    otherwise as words alone, which anything but a letter ends ("upright" stays what it is). Other classes stay
    themselves.

    Args:
        class_names: The names by label.

    Returns:
        For each label, the one of the mirrored videos.

    Raises:
        ValueError: If a name has the word "left" or "right" and its mirrored name is no class, so that its videos
            cannot be mirrored.
    """
    labels = {name: label for label, name in enumerate(class_names)}
    mirrored = []
    for name in class_names:
        everywhere = _SIDE.sub(_other_side, name)
        mirrored.append(everywhere if everywhere in labels else _SIDE_AS_A_WORD.sub(_other_side, name))
    without = [name for name, other in zip(class_names, mirrored, strict=True) if other not in labels]
    if without:
        raise ValueError(
            f"Expected every class with 'left' or 'right' in its name to have its mirror image among the classes, "
            f"since 'flip' is on (got none for {without})"
        )
    return [labels[name] for name in mirrored]


def _other_side(side: re.Match[str]) -> str:
    """The other side, in the case of this one."""
    other = _SIDES[side[0].lower()]
    if side[0].isupper():
        return other.upper()
    return other.capitalize() if side[0][0].isupper() else other
