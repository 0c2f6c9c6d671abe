"""What happens in a scene: where its objects, one or two, are at each moment.

There is one action for each pair of classes; the second class of a pair is the first one played backwards. An action is
given the layout of the scene and says how it goes on from progress 0 to 1, in units of the frame's shorter side. All of
it is in the square in the middle of the frame, as what a crop cuts off nobody can tell.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Point = NDArray[np.float64]
"""A place in the frame: x to the right and y downwards, in units of the frame's shorter side."""


@dataclass(frozen=True)
class Moves:
    """The objects' ways: each goes straight from `start` to `end`, the first in front of the second if there are two.

    Args:
        start: The places at progress 0, (bodies, 2).
        end: The places at progress 1, (bodies, 2).
        radius: The sizes of the objects, (bodies,).
    """

    start: NDArray[np.float64]
    end: NDArray[np.float64]
    radius: NDArray[np.float64]


def push(draws: NDArray[np.float64], frame: Point) -> Moves:
    """An object goes from left to right, in the lower half."""
    radius = 0.12 + 0.03 * draws[0]
    middle = frame / 2 + [0.14 * (draws[1] - 0.5), 0.05 + 0.25 * draws[2]]
    half_way = np.array([0.25 + 0.05 * draws[3], 0.03 * (draws[4] - 0.5)])
    return _moves([middle - half_way], [middle + half_way], [radius])


def approach(draws: NDArray[np.float64], frame: Point) -> Moves:
    """The first object comes from afar to beside the second, which stays."""
    radius = 0.11 + 0.03 * draws[:2]
    direction = _direction(draws[2])
    target = frame / 2 - 0.27 * direction + 0.1 * (draws[3:5] - 0.5)
    near = target + direction * (radius.sum() + 0.02)
    far = near + direction * (0.28 + 0.07 * draws[5])
    return _moves([far, target], [near, target], radius)


def lift(draws: NDArray[np.float64], frame: Point) -> Moves:
    """An object goes up."""
    radius = 0.12 + 0.03 * draws[0]
    middle = frame / 2 + [0.5 * (draws[1] - 0.5), 0.14 * (draws[2] - 0.5)]
    half_way = np.array([0.03 * (draws[4] - 0.5), 0.25 + 0.05 * draws[3]])
    return _moves([middle + half_way], [middle - half_way], [radius])


def uncover(draws: NDArray[np.float64], frame: Point) -> Moves:
    """The first object lies on the smaller second one and goes away to some side."""
    radius = np.array([0.19, 0.1]) + 0.03 * draws[:2]
    direction = _direction(draws[2])
    target = frame / 2 - 0.22 * direction + 0.1 * (draws[3:5] - 0.5)
    away = target + direction * (radius.sum() + 0.04 + 0.08 * draws[5])
    return _moves([target, target], [away, target], radius)


@dataclass(frozen=True)
class Action:
    """A pair of classes.

    Args:
        moves: Draws in [0, 1) (6,), frame (width, height) → the objects' ways.
        forwards: Template of the action, in the words of Something-Something.
        backwards: Template of the action played backwards.
        named: The objects that the templates name, first to last.
    """

    moves: Callable[[NDArray[np.float64], Point], Moves]
    forwards: str
    backwards: str
    named: tuple[int, int] = (0, 1)


NUM_DRAWS = 6
ACTIONS = (
    Action(push, "Pushing [something] from left to right", "Pushing [something] from right to left"),
    Action(approach, "Moving [something] closer to [something]", "Moving [something] away from [something]"),
    Action(lift, "Lifting [something] up", "Dropping [something]"),
    Action(uncover, "Uncovering [something]", "Covering [something] with [something]", named=(1, 0)),
)


def class_templates() -> list[str]:
    """The templates of the eight classes, sorted, as the official data sets number theirs."""
    return sorted(template for action in ACTIONS for template in (action.forwards, action.backwards))


def _direction(draw: float) -> Point:
    return np.array([np.cos(2 * np.pi * draw), np.sin(2 * np.pi * draw)])


def _moves(start: Sequence[Point], end: Sequence[Point], radius: ArrayLike) -> Moves:
    return Moves(np.array(start), np.array(end), np.array(radius))
