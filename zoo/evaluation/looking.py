"""Where a model looked in the pictures that it took for another class."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from zoo.artifacts.heat_maps import OCCLUSION_RUNS, HeatMap, Looking
from zoo.errors import ExportError

if TYPE_CHECKING:
    from zoo.evaluation.evaluation import Evaluation, Stream
    from zoo.models.classifier import Classifier

MOST = 12  # pictures
OCCLUSION_PART = 3  # runs of the evaluation for each run of an occlusion
SECONDS = 3.0  # after which no other map begins

Look = Callable[[], Looking]


class Loaded(NamedTuple):
    """A model that can be evaluated, and what makes heat maps of it."""

    stream: Stream
    look: Look


def classifier_looking(classifier: Classifier, stream: Stream) -> Looking:
    """A classifier with its class activation maps, if its network has some.

    Args:
        stream: the classifier, as `zoo.evaluation.evaluation.classifier_stream` makes it.
    """

    def logits(pictures: np.ndarray) -> np.ndarray:
        rows = np.empty((len(pictures), len(classifier.classes)), np.float32)
        for indices, found in stream(enumerate(pictures)):
            rows[indices] = found
        return rows

    return Looking(classes=classifier.classes, preprocess=classifier.spec, logits=logits, maps=_maps(classifier))


def _maps(classifier: Classifier) -> Callable[[np.ndarray], np.ndarray] | None:
    import torch

    from zoo.evaluation.evaluation import exact
    from zoo.models.class_maps import ClassMaps

    network = copy.deepcopy(classifier.network)  # it gets a hook
    device = next(network.parameters()).device
    size = classifier.spec.image_size
    noise = torch.rand((2, 3, size, size), generator=torch.Generator().manual_seed(0)).to(device)
    try:
        with torch.inference_mode(), exact(device):
            of_last_call = ClassMaps(network, noise)
    except ExportError:
        return None

    def maps(picture: np.ndarray) -> np.ndarray:
        with torch.inference_mode(), exact(device):
            network(classifier.preprocess(torch.from_numpy(picture).to(device)))
            found: np.ndarray = of_last_call()[0].cpu().numpy()
        return found

    return maps


def maps_of_mistakes(evaluation: Evaluation, look: Look) -> list[HeatMap]:
    """Heat maps of the most confident mistakes, in their order, for the class that was predicted. At most `MOST`.

    Occlusion asks the network at most a third as often as the evaluation did: too seldom for a single map, if there
    were few pictures.
    A model that fails here has no maps: the figures of its evaluation must not be lost.
    """
    try:
        return list(_maps_of_mistakes(evaluation, look()))
    except Exception:  # networks and runtimes raise classes of their own
        return []


def _maps_of_mistakes(evaluation: Evaluation, looking: Looking) -> Iterator[HeatMap]:
    affordable = MOST if looking.maps else len(evaluation.indices) // OCCLUSION_PART // OCCLUSION_RUNS
    end = time.monotonic() + SECONDS
    for index, _, guess, _ in evaluation.mistakes()[: min(MOST, affordable)]:
        if time.monotonic() > end:
            return
        yield looking.heat_map(evaluation.split.pictures[index], guess)
