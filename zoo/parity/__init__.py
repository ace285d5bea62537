"""Parity: the measured agreement between an artifact in its own runtime and the classifier it came from.

`reference` runs the eager classifier in fp32 on the CPU, once for all formats; `check` runs a file without a card
against it, `check_final` the bytes that ship. Artifacts run in a fresh process, which loads nothing but what they
need. Differences of logits are relative to the *spread* of the reference: the standard deviation of a logit from
picture to picture, root mean square over the classes.

What is compared: `zoo.parity.cases`. What is allowed, and why: `zoo.parity.tolerances`.
"""

from zoo.parity.checking import check, check_final
from zoo.parity.references import Depth, Reference, reference

__all__ = ["Depth", "Reference", "check", "check_final", "reference"]
