"""The classifier's side of parity: its logits for every case, and whether they say enough to compare with."""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from zoo.data.types import Split
from zoo.errors import ParityError
from zoo.evaluation.pictures import split_of_run
from zoo.parity.cases import Case, Kind, core, edges, readable, real
from zoo.progress import say_nothing

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.models.classifier import Classifier
    from zoo.runs.run import Run

Depth = Literal["quick", "full"]

QUICK_SECONDS = 9.0  # of about 30: the rest is the artifact's side, in two processes
REAL_AMONG_FIRST = 4  # so that they also run in the unoptimised session
REAL_AT_LEAST = 16
MIN_SPREAD = 100  # in units of the reference's own rounding noise


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Reference:
    """The classifier's logits for all cases.

    Attributes:
        split_name: `test`, `validation`, or `given` for pictures without a name.
        split: labels of -1 are unknown.
        logits: float32 `[n, K]` per case, n pictures each.
        required: how many of the first cases every check compares, even with a slow network. The others are real
            pictures.
        logit_std: standard deviation of a logit over the real pictures.
        rounding: the largest difference of its logits between fp32 and fp64, in the first case.
        seconds: how long it took.
        roundings: what `rounding_of` found so far, by case.
    """

    classifier: Classifier
    split_name: str
    split: Split
    depth: Depth
    cases: tuple[Case, ...]
    logits: tuple[np.ndarray, ...]
    required: int
    logit_std: float
    rounding: float
    seconds: float
    roundings: dict[int, float] = field(default_factory=dict)

    def rounding_of(self, number: int) -> float:
        """The largest difference of the logits between fp32 and fp64 in one case; for an edge case, in all of them.

        If a network amplifies rounding errors, one picture says little about how much.
        """
        edges = self.of_kind("edge")
        return max(self._rounding(each) for each in (edges if number in edges else [number]))

    def _rounding(self, number: int) -> float:
        if number not in self.roundings:
            self.roundings[number] = rounding_on(self.classifier, self.cases[number].pixels(self.split))
        return self.roundings[number]

    @property
    def real_pictures(self) -> int:
        """How many pictures of the split are compared in their own sizes."""
        return sum(len(case.indices) for case in self.cases)

    @property
    def labelled(self) -> bool:
        """Whether the classes of its pictures are known. If not, nothing is said about accuracy."""
        return bool((self.split.labels >= 0).all())

    def of_kind(self, kind: Kind) -> list[int]:
        """The positions of its cases of that kind."""
        return [number for number, case in enumerate(self.cases) if case.kind == kind]

    def feed(self, case: Case) -> np.ndarray | list[str]:
        """What the artifact's side gets: pixels uint8 `[n, H, W, 3]`, or paths if the pictures are files."""
        paths = [self.split.pictures.source(index).path for index in case.indices]
        files = [str(path.absolute()) for path in paths if path]
        return files if files and len(files) == len(paths) else case.pixels(self.split)


def reference(
    classifier: Classifier,
    split_name: str,
    split: Split,
    *,
    depth: Depth = "quick",
    seconds: float = QUICK_SECONDS,
    progress: Callable[[int, int], None] | None = None,
) -> Reference:
    """Runs the classifier over the cases.

    Args:
        classifier: in eval mode, fp32, on the CPU.
        depth: `full` compares the whole split, `quick` as much as the time allows.
        seconds: time of `quick` for real pictures beyond the required ones.
        progress: called with the number of finished pictures of the split, and of all its pictures.

    Raises:
        ParityError: there are fewer than two readable pictures, the logits are not finite, or they differ between
            pictures by no more than `MIN_SPREAD` times the rounding noise of fp32.
    """
    started = time.perf_counter()
    pictures = readable(split)
    first = list(itertools.islice(pictures, REAL_AT_LEAST))
    if len(first) < 2:  # noqa: PLR2004
        raise ParityError(
            f"The {split_name} split has fewer than two readable pictures, too few for a parity check.",
            "Add pictures to it.",
            code="too-few-pictures",
        )
    size, seen = classifier.spec.image_size, [picture for _, picture in first]
    head = [*core(seen, size), *real(first[:REAL_AMONG_FIRST])]
    required = [*head, *edges(seen, size), *real(first[REAL_AMONG_FIRST:], REAL_AMONG_FIRST)]
    rounding = rounding_on(classifier, head[0].pixels(split))
    cases: list[Case] = []
    logits: list[np.ndarray] = []
    began = float("inf")
    for case in itertools.chain(required, real(pictures, len(first))):
        if len(cases) == len(required):
            began = time.perf_counter()
        if depth == "quick" and time.perf_counter() - began >= seconds:
            break
        logits.append(answers(classifier, case.pixels(split)))
        cases.append(case.without_copy())
        if progress:
            progress(sum(len(case.indices) for case in cases), len(split))
    _check_finite(logits)
    logit_std = _logit_std([rows for case, rows in zip(cases, logits, strict=True) if case.kind in ("real", "row")])
    if not logit_std > MIN_SPREAD * rounding:
        raise ParityError(
            f"The classifier's logits differ by {logit_std:.3g} between pictures and by {rounding:.3g} from rounding "
            "alone. A parity check needs larger differences between pictures.",
            "Train the network further.",
            code="degenerate-reference",
        )
    return Reference(
        classifier=classifier,
        split_name=split_name,
        split=split,
        depth=depth,
        cases=tuple(cases),
        logits=tuple(logits),
        required=len(required),
        logit_std=logit_std,
        rounding=rounding,
        seconds=time.perf_counter() - started,
    )


def not_finite(logits: Sequence[np.ndarray]) -> int:
    """How many rows of logits, `[n, K]` each, have NaN or infinity."""
    return sum(int((~np.isfinite(rows)).any(axis=1).sum()) for rows in logits)


def _check_finite(logits: Sequence[np.ndarray]) -> None:
    if broken := not_finite(logits):
        raise ParityError(
            f"The classifier's logits of {broken:,} of {sum(map(len, logits)):,} pictures are not finite numbers.",
            "Train it again with a smaller learning rate.",
            code="classifier-not-finite",
        )


def answers(classifier: Callable[[Tensor], Tensor], images: np.ndarray) -> np.ndarray:
    """The logits, `[n, K]`, of pictures uint8 `[n, H, W, 3]`."""
    import torch

    with torch.inference_mode():
        logits: np.ndarray = classifier(torch.from_numpy(images)).numpy()
    return logits


def _logit_std(logits: list[np.ndarray]) -> float:
    return float(np.sqrt(np.concatenate(logits).astype(np.float64).var(axis=0).mean()))


def rounding_on(classifier: Classifier, *batches: np.ndarray) -> float:
    """The largest difference of its logits between fp32 and fp64 on pictures uint8 `[n, H, W, 3]`."""
    import torch

    precise = copy.deepcopy(classifier).double()
    default = torch.get_default_dtype()
    # Networks create tensors of the default type while they run.
    torch.set_default_dtype(torch.float64)
    try:
        exact = [answers(precise, images) for images in batches]
    except RuntimeError as error:
        raise ParityError(
            f"The parity check cannot run the network in float64: {str(error).splitlines()[0]}",
            "Change the network to create its tensors with the dtype of its parameters.",
            code="no-float64",
        ) from None
    finally:
        torch.set_default_dtype(default)
    with np.errstate(invalid="ignore"):  # infinite ones are refused later
        return max(
            float(np.abs(answers(classifier, images) - right).max())
            for images, right in zip(batches, exact, strict=True)
        )


def reference_of(run: Run, depth: Depth = "quick", progress: Callable[[str], None] = say_nothing) -> Reference:
    """The reference of a run: its classifier's logits for all cases. Raises `ParityError`, `DataError`."""
    progress("loading the run and its pictures")
    name, split = split_of_run(run)
    return told_reference(run.classifier(), name, split, depth, progress)


def told_reference(
    classifier: Classifier, split_name: str, split: Split, depth: Depth, say: Callable[[str], None]
) -> Reference:
    """As `reference`, which tells people how far it is."""
    what = "running the classifier on the pictures of the parity check"
    say(what)
    return reference(
        classifier,
        split_name,
        split,
        depth=depth,
        progress=lambda done, total: say(f"{what} ({done:,} of {total:,} {split_name})"),
    )
