"""A small set of real, encoded videos that only time can tell apart, in the layouts of Something-Something.

``python -m data.video.scenes --out DIR`` writes it.
"""

from data.video.scenes.actions import ACTIONS, class_templates
from data.video.scenes.scene import Scene
from data.video.scenes.scene_set import SceneSet
from data.video.scenes.writing import write_v1, write_v2

__all__ = ["ACTIONS", "Scene", "SceneSet", "class_templates", "write_v1", "write_v2"]
