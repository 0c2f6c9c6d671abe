"""What a class becomes when its videos are mirrored."""

import re
from collections.abc import Sequence

_SIDES = {"left": "right", "right": "left"}


def mirrored_labels(class_names: Sequence[str]) -> list[int]:
    """The label of each class's mirrored videos.

    "left" and "right" change places in the name, as whole words ("from left to right" becomes "from right to left"); a
    class without them stays itself.

    Args:
        class_names: The names by label.

    Returns:
        For each label, the one of the mirrored videos.

    Raises:
        ValueError: If the mirrored name of a class is no class, so that its videos cannot be mirrored.
    """
    labels = {name: label for label, name in enumerate(class_names)}
    mirrored = [re.sub(r"\b(left|right)\b", lambda side: _SIDES[side[0]], name) for name in class_names]
    without = [name for name, other in zip(class_names, mirrored, strict=True) if other not in labels]
    if without:
        raise ValueError(
            f"Expected every class with 'left' or 'right' in its name to have its mirror image among the classes, "
            f"since 'flip' is on (got none for {without})"
        )
    return [labels[name] for name in mirrored]
