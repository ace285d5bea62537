"""Parity: how closely an artifact in its own runtime agrees with the classifier that it was made from.

`reference` runs the eager classifier in fp32 on the CPU, once for all formats. `check` compares a file that has no
card yet. `check_final` opens the bytes that ship. Each artifact runs in a fresh process, which loads only what the
artifact needs.

Differences of logits are relative to the *spread* of the reference. The spread is the standard deviation of a logit
from picture to picture, as a root mean square over the classes.

`zoo.parity.cases` says what is compared. `zoo.parity.tolerances` says what is allowed, and why.
"""

from zoo.parity.checking import check
from zoo.parity.references import Depth, Reference, reference
from zoo.parity.self_check import check_final

__all__ = ["Depth", "Reference", "check", "check_final", "reference"]
