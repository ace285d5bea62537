"""Random views of training pictures: one draw per picture, on the device that trains."""

from zoo.augment.draws import Draws, draw
from zoo.augment.policy import POLICIES, Policy, describe, make_policy
from zoo.augment.render import augment

__all__ = ["POLICIES", "Draws", "Policy", "augment", "describe", "draw", "make_policy"]
