"""What happens in a scene: where its two objects are at each moment.

There is one action for each pair of classes; the second class of a pair is the first one played backwards. An action is
given the layout of the scene and says how it goes on from progress 0 to 1, in units of the frame's shorter side.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Point = NDArray[np.float64]
"""A place in the frame: x to the right and y downwards, in units of the frame's shorter side."""


@dataclass(frozen=True)
class Moves:
    """The objects' ways: the first (in front) and the second go straight from `start` to `end`.

    Args:
        start: The places at progress 0, (2, 2).
        end: The places at progress 1, (2, 2).
        radius: The sizes of the objects, (2,).
    """

    start: NDArray[np.float64]
    end: NDArray[np.float64]
    radius: NDArray[np.float64]


def push(draws: NDArray[np.float64], frame: Point) -> Moves:
    """The first object goes from left to right; the second stays anywhere."""
    radius = np.array([0.14, 0.12]) + 0.04 * draws[:2]
    way = (0.45 + 0.2 * draws[2]) * frame[0]
    x = _between(radius[0], frame[0] - radius[0] - way, draws[3])
    y = _between(radius[0], frame[1] - radius[0], draws[4])
    other = _inside(radius[1], frame, draws[5:7])
    return _moves([(x, y), other], [(x + way, y + 0.08 * (draws[7] - 0.5)), other], radius)


def approach(draws: NDArray[np.float64], frame: Point) -> Moves:
    """The first object comes from afar to beside the second, which stays."""
    radius = np.array([0.13, 0.13]) + 0.04 * draws[:2]
    target = _inside(radius[1] + 0.1, frame, draws[2:4])
    # Away from the target towards the side with more room, within a wide angle.
    angle = np.arctan2(*(frame / 2 - target)[::-1]) + (draws[4] - 0.5) * 1.6
    direction = np.array([np.cos(angle), np.sin(angle)])
    near = target + direction * (radius.sum() + 0.02)
    far = near + direction * (0.4 + 0.2 * draws[5])
    return _moves([_kept_inside(far, radius[0], frame), target], [near, target], radius)


def lift(draws: NDArray[np.float64], frame: Point) -> Moves:
    """The first object goes up; the second stays anywhere."""
    radius = np.array([0.14, 0.12]) + 0.04 * draws[:2]
    way = (0.45 + 0.15 * draws[2]) * frame[1]
    x = _between(radius[0], frame[0] - radius[0], draws[3])
    y = _between(radius[0], frame[1] - radius[0] - way, draws[4])
    other = _inside(radius[1], frame, draws[5:7])
    return _moves([(x, y + way), other], [(x + 0.08 * (draws[7] - 0.5), y), other], radius)


def uncover(draws: NDArray[np.float64], frame: Point) -> Moves:
    """The first object lies on the smaller second one and goes away to some side."""
    radius = np.array([0.21, 0.11]) + 0.03 * draws[:2]
    target = _inside(0.22, frame, draws[2:4])
    angle = np.arctan2(*(frame / 2 - target)[::-1]) + (draws[4] - 0.5) * 1.6
    direction = np.array([np.cos(angle), np.sin(angle)])
    away = target + direction * (radius.sum() + 0.12 + 0.15 * draws[5])
    return _moves([target, target], [away, target], radius)


@dataclass(frozen=True)
class Action:
    """A pair of classes.

    Args:
        moves: Draws in [0, 1) (8,), frame (width, height) → the objects' ways.
        forwards: Template of the action, in the words of Something-Something.
        backwards: Template of the action played backwards.
    """

    moves: Callable[[NDArray[np.float64], Point], Moves]
    forwards: str
    backwards: str


NUM_DRAWS = 8
ACTIONS = (
    Action(push, "Pushing [something] from left to right", "Pushing [something] from right to left"),
    Action(approach, "Moving [something] closer to [something]", "Moving [something] away from [something]"),
    Action(lift, "Lifting [something] up", "Dropping [something]"),
    Action(uncover, "Uncovering [something]", "Covering [something] with [something]"),
)


def class_templates() -> list[str]:
    """The templates of the eight classes, sorted, as the official data sets number theirs."""
    return sorted(template for action in ACTIONS for template in (action.forwards, action.backwards))


def _between(low: float, high: float, share: float) -> float:
    return (low + high) / 2 if high < low else low + (high - low) * share


def _inside(radius: float, frame: Point, draws: NDArray[np.float64]) -> Point:
    return radius + (frame - 2 * radius) * draws


def _kept_inside(point: Point, radius: float, frame: Point) -> Point:
    return np.clip(point, 0.5 * radius, frame - 0.5 * radius)


def _moves(start: Sequence, end: Sequence, radius: NDArray[np.float64]) -> Moves:
    return Moves(np.array(start, dtype=float), np.array(end, dtype=float), radius)
