"""Random views of training pictures, one draw per picture, on the device of the training."""

from zoo.transforms.augment.draws import Draws, draw
from zoo.transforms.augment.policy import POLICIES, Policy, describe, make_policy
from zoo.transforms.augment.render import augment

__all__ = ["POLICIES", "Draws", "Policy", "augment", "describe", "draw", "make_policy"]
