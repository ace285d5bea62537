"""The program in every format: pixels or a tensor in, logits and probabilities out."""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from zoo.errors import ArtifactError
from zoo.models.class_maps import ClassMaps
from zoo.specs import LoadOptions, WriteOptions
from zoo.transforms.preprocess import Preprocess


class Program(nn.Module):
    """A classifier with its probabilities.

    Args:
        preprocess: uint8 `[N, H, W, 3]` in, float32 `[N, 3, S, S]` out; Identity if the input is a tensor.
        network: float32 `[N, 3, S, S]` in, logits `[N, K]` out.
        tensor_size: S if the input is a tensor, else None.
        half: whether the network computes in half precision. Inputs and outputs keep their types.
        maps: of the network, if the program also returns class activation maps.
    """

    def __init__(
        self,
        preprocess: nn.Module,
        network: nn.Module,
        tensor_size: int | None,
        *,
        half: bool = False,
        maps: ClassMaps | None = None,
    ) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.network = network.half() if half else network
        self.tensor_size = tensor_size
        self.half_network = half
        self.maps = maps

    @property
    def outputs(self) -> list[str]:
        """Their names in files."""
        return ["logits", "probabilities"] + ["heatmap"] * (self.maps is not None)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Takes uint8 `[N, H, W, 3]` of any size, or float32 `[N, 3, S, S]`.

        Returns:
            Logits and probabilities, float32 `[N, K]` each, and perhaps maps, float32 `[N, K, h, w]`.
        """
        pixels = self.preprocess(image)
        logits = self.network(pixels.half()).float() if self.half_network else self.network(pixels)
        found = logits, torch.softmax(logits, 1)
        return found if self.maps is None else (*found, self.maps())

    def example(self) -> Tensor:
        """An input for tracing. No side is 0 or 1, because torch.export would treat it as a constant."""
        if self.tensor_size is None:
            return torch.zeros((2, 40, 56, 3), dtype=torch.uint8)
        return torch.zeros((2, 3, self.tensor_size, self.tensor_size))


def program(classifier: nn.Module, options: WriteOptions) -> Program:
    """A copy of a `zoo.models.classifier.Classifier` for export: fp32 or half, on the CPU, in eval mode.

    Raises `ExportError` if it has no class activation maps and `options.heatmap` asks for them.
    """
    own = copy.deepcopy(classifier).cpu().float().eval().requires_grad_(False)
    preprocess, network = own.get_submodule("preprocess"), own.get_submodule("network")
    size = preprocess.size
    assert isinstance(size, int)
    maps = (
        ClassMaps(network, torch.rand((2, 3, size, size), generator=torch.Generator().manual_seed(0)))
        if options.heatmap
        else None
    )
    half = options.precision == "fp16"
    if options.input == "pixels":
        return Program(preprocess, network, None, half=half, maps=maps).eval()
    return Program(nn.Identity(), network, size, half=half, maps=maps).eval()


class _Gathered(Preprocess):
    """`Preprocess` that crops by gathering rows and columns: torch.export guards the strides of `narrow`."""

    def centre(self, pixels: Tensor) -> Tensor:
        height, width = pixels.shape[2], pixels.shape[3]
        side: Any = torch.sym_max(1, torch.sym_min(height, width) * self.numerator // self.denominator)
        own = torch.arange(side, device=pixels.device)
        return pixels.index_select(2, own + (height - side) // 2).index_select(3, own + (width - side) // 2)

    def cut(self, pixels: Tensor, top: int, rows: int, left: int, columns: int) -> Tensor:
        down, across = (torch.arange(count, device=pixels.device) for count in (rows, columns))
        return pixels.index_select(2, down + top).index_select(3, across + left)


@contextmanager
def any_size(shipped: Program) -> Iterator[None]:
    """Lets torch.export trace a program for every batch and picture size, also 1."""
    from torch.fx.experimental import _config

    if isinstance(shipped.preprocess, Preprocess):
        shipped.preprocess.__class__ = _Gathered
    with _config.patch(backed_size_oblivious=True):  # type: ignore[attr-defined]
        yield


class FlatAttention(TorchFunctionMode):
    """While a network is traced, its attention gets four dimensions: torch.onnx takes no others.

    NesT and Twins attend in `[N, windows, heads, tokens, channels]`, SAM's encoder in `[N * heads, tokens, channels]`.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is not nn.functional.scaled_dot_product_attention or len(args) != 3:  # noqa: PLR2004
            return func(*args, **kwargs)
        mask: Any = kwargs.get("attn_mask")
        dimensions = args[0].ndim
        plain = mask is None or mask.ndim == 2  # noqa: PLR2004
        if dimensions == 3:  # noqa: PLR2004
            if not plain:
                kwargs = kwargs | {"attn_mask": mask.unsqueeze(1)}
            return func(*(part.unsqueeze(1) for part in args), **kwargs).squeeze(1)
        if dimensions > 4 and plain:  # noqa: PLR2004
            return func(*(part.flatten(0, -4) for part in args), **kwargs).unflatten(0, args[0].shape[:-3])
        return func(*args, **kwargs)


class HalfNormalize(TorchFunctionMode):
    """While a network in half precision is traced, its `normalize` divides by at least the smallest normal number.

    The usual 1e-12 is 0 in half precision: a vector of zeros, as SwinV2 has in padded windows, would become NaN.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is nn.functional.normalize and args[0].dtype == torch.half:
            kwargs = kwargs | {"eps": max(kwargs["eps"], torch.finfo(torch.half).tiny)}
        return func(*args, **kwargs)


@contextmanager
def quiet() -> Iterator[None]:
    """Silences developer messages of torch and its exporters. Errors are still raised."""
    # torch._logging gives its loggers levels of their own: only the global switch reaches them all.
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        # torch.export prints its graph when it fails.
        with warnings.catch_warnings(action="ignore"), redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def require_device(device: str) -> None:
    """Raises `ArtifactError` if PyTorch cannot run on the device."""
    if device != "cpu" and not torch.cuda.is_available():
        raise ArtifactError(f"PyTorch cannot run on '{device}' here.", "Use --device cpu.", code="device-missing")


def difference(classifier: nn.Module, tensors: Mapping[str, Any]) -> str | None:
    """A clause about the first parameter or buffer of a file that is not the classifier's, or None.

    Args:
        classifier: a `zoo.models.classifier.Classifier`.
        tensors: the file's tensors by name. Names that the classifier does not have are constants.
    """
    for name, own in (*classifier.named_parameters(), *classifier.named_buffers()):
        if name not in tensors:
            # The network alone has no preprocessing.
            if name.startswith("network."):
                return f"{name} is not in the file"
            continue
        found = tensors[name]
        if found.shape != own.shape:
            return f"{name} has shape {list(found.shape)} instead of the classifier's {list(own.shape)}"
        expected = own.detach().cpu().to(found.dtype)
        if not torch.equal(found, expected):
            largest = (found.double() - expected.double()).abs().max().item()
            return f"{name} differs from the classifier's by up to {largest:.3g}"
    return None


class TorchRuntime:
    """A `zoo.specs.EnterableRuntime` and `MappedRuntime` of a program that PyTorch runs.

    Args:
        module: it returns logits first, and maps, if it has some, third.
        entrance: makes a function from float32 `[N, 3, S, S]` in 0..255 to logits, or None if the program has no such
            part. It is called once, for the first large picture.
    """

    def __init__(
        self, module: Any, options: LoadOptions, entrance: Callable[[], Callable[[Tensor], Tensor] | None] | None = None
    ) -> None:
        self._module = module
        self._device = options.device
        self._optimised = options.optimised
        self._entrance = entrance
        self._behind: Callable[[Tensor], Tensor] | None = None
        self._lock = Lock()
        if options.threads:
            torch.set_num_threads(options.threads)  # for the whole process: PyTorch has no other setting

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return self._run(lambda pixels: self._module(pixels)[0], images)

    def maps(self, images: np.ndarray) -> np.ndarray:
        """See `zoo.specs.MappedRuntime`."""
        return self._run(lambda pixels: self._module(pixels)[2], images)

    def from_resized(self, values: np.ndarray) -> np.ndarray | None:
        """See `zoo.specs.EnterableRuntime`."""
        with self._lock:
            if self._entrance is not None:
                self._behind, self._entrance = self._entrance(), None
        return None if self._behind is None else self._run(self._behind, values)

    def _run(self, part: Callable[[Tensor], Tensor], values: np.ndarray) -> np.ndarray:
        given = torch.from_numpy(np.require(values, requirements=["C", "W"])).to(self._device)
        jit: Any = torch.jit
        with torch.inference_mode(), jit.optimized_execution(self._optimised):
            found: np.ndarray = part(given).float().cpu().numpy()
        return found
