"""Builds networks of plugins, and checks them before any work.

`build_network` checks the structure, which costs a millisecond. `check_answers` also runs the network. Built-in
backbones are not run: the tests of their plugin do that. One pass of two pictures takes 15 ms of ResNet-18 at its
smallest size and 120 ms at 224 pixels, but 0.8 s of VGG16 and 1.2 s of a vision transformer (one core).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from zoo.errors import PluginError
from zoo.models.forward import as_it_was, logits_fault, noise
from zoo.models.state_dict import load_state
from zoo.registry import Registered
from zoo.registry.factories import calling, owner_of, wrong_result
from zoo.registry.loading import a_thing
from zoo.specs import BackboneSpec, Stage

SUM = 1e-3  # how far from 1 the sum of probabilities may be
SHOWN = 3  # names in an error


def build_network(entry: Registered[BackboneSpec], num_classes: int) -> tuple[nn.Module, tuple[Stage, ...]]:
    """A backbone's network for K classes, and its stages from stem to head.

    Raises:
        PluginError: its factories fail, or the network breaks the contract of `BackboneSpec`.
    """
    spec, owner = entry.spec, owner_of(entry)
    with calling(owner, "build"):
        network: object = spec.build(num_classes)
    if not isinstance(network, nn.Module):
        raise wrong_result(owner, "build", network, "an nn.Module: a network, not its class")
    _check_parameters(owner, network)
    _check_head(owner, spec.head, network, num_classes)
    with calling(owner, "stages"):
        result: object = spec.stages(network)
        stages = tuple(result) if isinstance(result, Iterable) else None
    if not stages or not all(isinstance(stage, Stage) for stage in stages):
        raise wrong_result(owner, "stages", stages[0] if stages else result, "a list of Stage, from stem to head")
    _check_stages(owner, spec.head, network, stages)
    return network, stages


def loaded_network(
    entry: Registered[BackboneSpec], num_classes: int, state: Mapping[str, Tensor], size: int
) -> nn.Module:
    """A backbone's network with the weights of a state dict, checked for pictures of `size` pixels a side.

    Raises:
        PluginError: as `build_network` and `check_answers`.
        RuntimeError: the weights do not fit.
    """
    network, _ = build_network(entry, num_classes)
    check_answers(entry, network, num_classes, size, training=False)  # weights may be wrong for other reasons
    load_state(network, state)
    return network


def check_answers(
    entry: Registered[BackboneSpec], network: nn.Module, num_classes: int, size: int, *, training: bool = True
) -> None:
    """Runs a network of a third-party plugin on two pictures of noise. Its weights and buffers stay as they are.

    Args:
        size: side of the pictures in pixels, used where those of the smallest allowed size raise an error.
        training: whether to run it in training mode too.

    Raises:
        PluginError: it raises an error, or its output is not logits, float32 `[2, K]`.
    """
    if entry.builtin:
        return
    owner = owner_of(entry)
    with as_it_was(network), torch.no_grad():
        for mode in (False, True) if training else (False,):
            network.train(mode)
            output, used = _run(owner, network, dict.fromkeys((entry.spec.min_image_size, size)))
            logits = _checked(owner, output, num_classes)
            if not mode:
                _refuse_probabilities(owner, network, network.get_submodule(entry.spec.head), logits, used)


def _faulty(owner: str, fault: str, remedy: str, code: str) -> PluginError:
    return PluginError(f"{owner} {fault}.", remedy, code=code)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _check_parameters(owner: str, network: nn.Module) -> None:
    parameters = dict(network.named_parameters())
    tensors = {**parameters, **dict(network.named_buffers())}
    for names, fault, remedy in (
        (
            [name for name, tensor in tensors.items() if is_lazy(tensor)],
            "has layers without a shape",
            "Give its lazy layers their sizes, or let 'build' run the network once.",
        ),
        (
            [name for name, tensor in tensors.items() if tensor.device.type != "cpu"],
            "is not on the CPU",
            "Let 'build' return the network on the CPU: visionzoo moves it to the device of the training.",
        ),
        (
            [name for name, tensor in parameters.items() if tensor.dtype != torch.float32],
            "has parameters that are not float32",
            "Let 'build' return network.float(): --precision chooses the format of a training.",
        ),
    ):
        if names:
            raise _faulty(owner, f"{fault}: {_some(names)}", remedy, "faulty-parameters")


def _check_head(owner: str, name: str, network: nn.Module, num_classes: int) -> None:
    modules = dict(network.named_modules())
    if name not in modules:
        children = ", ".join(each for each, _ in network.named_children())
        raise _faulty(
            owner,
            f"has no module '{name}', which it names as its head",
            f"Name the module that returns the logits. The network has: {children}.",
            "faulty-head",
        )
    layers = [module for module in modules[name].modules() if [*module.parameters(recurse=False)]]
    if len(layers) != 1:
        fault = f"has {len(layers)} layers with parameters in its head '{name}'"
        raise _faulty(owner, fault, "A head has exactly one: name the last Linear layer.", "faulty-head")
    layer = layers[0]
    outputs = _outputs(layer)
    if outputs is None:
        fault = f"has {a_thing(layer)} as the layer of its head '{name}'"
        raise _faulty(owner, fault, "It must be a Linear, or a Conv2d with a kernel of 1x1.", "faulty-head")
    if getattr(layer, "bias", None) is None:
        raise _faulty(owner, f"has a head '{name}' without a bias", "Build its layer with bias=True.", "faulty-head")
    if outputs != num_classes:
        raise _faulty(
            owner,
            f"has a head '{name}' with {outputs} outputs for {num_classes} classes",
            "Let 'build' give its last layer as many outputs as its argument says.",
            "faulty-head",
        )


def _outputs(layer: nn.Module) -> int | None:
    """The outputs of the layer of a head, None for a layer that cannot be one."""
    if isinstance(layer, nn.Linear):
        return layer.out_features
    if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1):
        return layer.out_channels
    return None


def _check_stages(owner: str, head: str, network: nn.Module, stages: Sequence[Stage]) -> None:
    tensors = [name for name, _ in (*network.named_parameters(), *network.named_buffers())]
    known = {*dict(network.named_modules()), *tensors} - {""}
    twice = [name for name, count in Counter(stage.name for stage in stages).items() if count > 1]
    absent = [member for stage in stages for member in stage.members if member not in known]
    owners = {name: [stage.name for stage in stages if stage.holds(name)] for name in tensors}
    none = [name for name, holders in owners.items() if not holders]
    several = [f"{name} ({' and '.join(holders)})" for name, holders in owners.items() if len(holders) > 1]
    for found, fault, remedy in (
        (twice, "has several stages with one name", "Give each stage a name of its own."),
        (absent, "has stages with modules that the network lacks", "Name modules as named_modules() does."),
        (none, "has parameters or buffers in no stage", "Put each of them into one stage, by its module's name."),
        (several, "has parameters or buffers in several stages", "Put each of them into one stage."),
    ):
        if found:
            raise _faulty(owner, f"{fault}: {_some(found)}", remedy, "faulty-stages")
    if stages[-1].name != "head" or tuple(stages[-1].members) != (head,):
        fault = f"has the last stage '{stages[-1].name}' of {_some(stages[-1].members)}"
        raise _faulty(owner, fault, f"The last stage must be Stage('head', ('{head}',)).", "faulty-stages")


def _run(owner: str, network: nn.Module, sizes: Iterable[int]) -> tuple[object, int]:
    """The network's output for two pictures of the first size at which it raises no error, and that size."""
    *smaller, last = sizes
    for size in smaller:
        try:
            with calling(owner, "forward"):
                return network(noise(size)), size
        except PluginError:  # its smallest size may be wrong; what counts is the size of the training
            continue
    with calling(owner, "forward"):
        return network(noise(last)), last


def _checked(owner: str, output: Any, num_classes: int) -> Tensor:
    fault = logits_fault(output, num_classes)
    if fault is None and output.dtype != torch.float32:
        fault = f"returned {str(output.dtype).removeprefix('torch.')} values", "Let 'forward' return float32."
    if fault:
        raise _faulty(owner, *fault, "faulty-output")
    logits: Tensor = output
    return logits


def _refuse_probabilities(owner: str, network: nn.Module, head: nn.Module, logits: Tensor, size: int) -> None:
    """Raises where the logits went through a softmax: a constant that is added to all of them changes nothing then."""
    totals = {"log_softmax": logits.exp().sum(1)} | ({"softmax": logits.sum(1)} if bool((logits >= 0).all()) else {})
    found = [name for name, total in totals.items() if bool(((total - 1).abs() < SUM).all())]
    if not found:
        return
    (bias,) = [each for name, each in head.named_parameters() if name.endswith("bias")]
    before = bias.detach().clone()
    try:
        bias.add_(1)
        raised, _ = _run(owner, network, (size,))
    finally:
        bias.copy_(before)
    assert isinstance(raised, Tensor)
    if bool((raised - logits).abs().max() < SUM):
        remedy = "Let 'forward' return the logits as they are: the loss and the exported file do the rest."
        raise _faulty(owner, f"applies {found[0]} after its head", remedy, "faulty-output")
