"""The rules about what a training and an export do with a network: they freeze it, cut it, load it and write it."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path

import torch

from zoo.errors import ExportError, ParityError
from zoo.models.classifier import Classifier
from zoo.models.pretrained import load_weights
from zoo.models.split import split_network
from zoo.specs import PreprocessSpec
from zoo.testing.backbone_case import CLASSES, ROUNDING, BackboneCase
from zoo.testing.networks import sample_pictures, spread
from zoo.testing.rules import SkippedRuleError, broken

_SHOWN = 3  # names in a sentence


def splits(case: BackboneCase) -> None:
    refused = []
    for first in range(1, len(case.stages)):
        halves = split_network(case.built.eval(), case.stages, first, case.inputs[:2])
        if halves is None:
            refused.append(case.stages[first].name)
    if case.stages[-1].name in refused:
        raise broken(
            f"The output of the head '{case.spec.head}' is not the network's output.",
            "Name as the head the module that returns the logits.",
        )
    if refused:
        raise SkippedRuleError(
            f"Before {', '.join(refused[:_SHOWN])}, it cannot be cut: frozen stages there are computed in every epoch."
        )


def freezes(case: BackboneCase) -> None:
    """Frozen stages in training mode keep their weights and buffers, as `zoo.training` freezes them."""
    network = copy.deepcopy(case.built)
    *frozen, head = case.stages
    for stage in frozen:
        for parameter in stage.parameters(network):
            parameter.requires_grad_(False)
    before = {name: value.clone() for name, value in network.state_dict().items() if not head.holds(name)}
    network.eval()
    for member in head.members:
        network.get_submodule(member).train()
    network(case.inputs[:2]).sum().backward()
    changed = [name for name, value in network.state_dict().items() if name in before and not value.equal(before[name])]
    learning = [name for name, each in network.named_parameters() if each.grad is not None and not head.holds(name)]
    if found := changed + learning:
        raise broken(
            f"With all stages but the head frozen, these still change: {', '.join(found[:_SHOWN])}.",
            "Let no module update its buffers in eval mode.",
        )
    if all(each.grad is None for each in head.parameters(network)):
        raise broken(
            "With all stages but the head frozen, the head gets no gradient.",
            "Use no no_grad() and no detach() behind the head's input.",
        )


def weights(case: BackboneCase) -> None:
    spec = case.spec
    if spec.weights is None:
        raise SkippedRuleError("It has no pretrained weights.")
    network = spec.build(len(CLASSES))
    report = load_weights(network, spec, "auto")
    if not report.pretrained:
        raise SkippedRuleError(report.note)
    size = spec.weights.image_size
    if spec.fixed_image_size and size != spec.min_image_size:
        raise broken(
            f"The weights are for {size} pixels, and the network takes {spec.min_image_size} only.",
            "Give WeightsSpec.image_size and min_image_size one value.",
        )
    if size < spec.min_image_size:
        raise broken(
            f"The weights are for {size} pixels, and min_image_size is {spec.min_image_size}.",
            "Lower min_image_size, or correct WeightsSpec.image_size.",
        )


def exports(name: str, case: BackboneCase) -> None:
    """The file agrees with the classifier, its card comes back as it was written, and it opens elsewhere."""
    from zoo.artifacts.predictor import load
    from zoo.exporting.pipeline import export
    from zoo.exporting.run_hooks import untold
    from zoo.parity.tolerances import NOISE

    pictures = sample_pictures()
    classifier = Classifier(case.built, CLASSES, PreprocessSpec(image_size=case.size))
    with tempfile.TemporaryDirectory(prefix="zoo-testing-") as folder:
        try:
            with untold():
                artifact = export(classifier, name, Path(folder) / "model", pictures=pictures)
        except ParityError:
            raise
        except ExportError as error:
            raise SkippedRuleError(str(error)) from error
        # A suffix may have several dots: `with_stem` would take a part of it for the name.
        moved = artifact.path.rename(artifact.path.with_name(f"moved-{artifact.path.name}"))
        predictor = load(moved)
        if predictor.card != artifact.card:
            raise broken("The card of the file is not the one that was written.", "Report this to the format's author.")
        logits = predictor.logits(pictures)
    with torch.no_grad():
        wanted = torch.cat([classifier(torch.from_numpy(picture[None])) for picture in pictures])
    apart = float((torch.from_numpy(logits) - wanted).abs().max()) / spread(wanted)
    # Some networks round so much that two orders of adding differ by more: the export has measured it.
    if apart > max(ROUNDING, NOISE * artifact.report["rounding"]):
        raise broken(
            f"The file's logits differ from the network's by {apart:.2g} of their spread.",
            "Report this to the format's author.",
        )
