"""Where a training computes, and in which number format. Lightning Fabric drives the device."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from zoo.errors import UsageError

if TYPE_CHECKING:
    import torch

# What `auto` looks for, in this order, and what people call it.
KINDS = {"cuda": "NVIDIA or AMD GPU", "mps": "Apple GPU", "xpu": "Intel GPU"}
# In which a training cannot compute: Fabric's mixed precision knows CUDA and the CPU, and fp16 is for GPUs.
IMPOSSIBLE = {"cpu": ("fp16",), "mps": ("bf16", "fp16"), "xpu": ("bf16", "fp16")}


def kind_of(device: str) -> str:
    """`cuda` of `cuda:1`."""
    return device.partition(":")[0]


def count(kind: str) -> int:
    """How many devices of a kind this machine has."""
    import torch

    match kind:
        case "cuda":
            return torch.cuda.device_count() if torch.cuda.is_available() else 0
        case "mps":
            return int(torch.backends.mps.is_available())
        case "xpu":
            return torch.xpu.device_count() if torch.xpu.is_available() else 0
    return os.cpu_count() or 1


def choose_device(asked: str) -> tuple[str, str]:
    """The device, and why where `auto` chose it. Raises `UsageError` for one that this machine does not have."""
    if asked == "auto":
        found = next((kind for kind in KINDS if count(kind)), None)
        return (found, f"{KINDS[found]} found") if found else ("cpu", "no GPU was found")
    kind, _, number = asked.partition(":")
    there = count(kind)
    if not there:
        raise UsageError(
            f"PyTorch finds no {KINDS[kind]} on this machine.",
            "Leave out --device, or give --device cpu.",
            code="device-missing",
        )
    if number and int(number) >= there:
        those = f"{kind}:0" if there == 1 else f"{kind}:0 to {kind}:{there - 1}"
        raise UsageError(f"This machine has no device {asked}.", f"Give --device {those}.", code="device-missing")
    return asked, ""


def choose_machine(asked: str, precision: str) -> tuple[str, str, dict[str, str]]:
    """Device, precision, and why. Raises `UsageError` for what this machine does not have.

    Args:
        asked: a device, or `auto`.
        precision: `fp32`, `bf16`, `fp16`, or `auto`.
    """
    reasons: dict[str, str] = {}
    device, why = choose_device(asked)
    if why:
        reasons["device"] = why
    kind = kind_of(device)
    if precision in IMPOSSIBLE.get(kind, ()):
        cause, remedy = (
            ("Training in fp16 needs a GPU.", "Give --precision bf16 or fp32.")
            if kind == "cpu"
            else (f"Training on {kind} computes in fp32.", "Give --precision fp32, or leave it out.")
        )
        raise UsageError(cause, remedy, code="precision-impossible")
    if kind in ("mps", "xpu"):
        reasons["precision"] = f"the only one on {kind}"
        return device, "fp32", reasons
    if precision == "auto":
        fast = computes_bf16(device)
        precision = "bf16" if fast else "fp16" if kind == "cuda" else "fp32"
        reasons["precision"] = f"this {kind.upper()} {'computes' if fast else 'does not compute'} in bf16"
    return device, precision, reasons


def possible_precision(asked: str, precision: str) -> str:
    """The precision of a run that is resumed on another device: fp32 where the device does not have its own."""
    kind = kind_of(choose_device(asked)[0])
    return "fp32" if precision in IMPOSSIBLE.get(kind, ()) else precision


def computes_bf16(device: str) -> bool:
    """Whether the hardware multiplies in bfloat16, rather than emulating it."""
    import torch

    if kind_of(device) == "cuda":
        with torch.cuda.device(torch.device(device)):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))


def placed(device: str, devices: int) -> dict[str, Any]:
    """The arguments of Fabric that choose the device.

    Args:
        device: as `choose_device` returns it.
        devices: how many processes share this machine's devices of that kind.
    """
    kind, _, number = device.partition(":")
    if kind == "xpu":
        import torch
        from lightning_fabric.strategies.single_device import SingleDeviceStrategy

        # Fabric places a single device itself for the kinds that it knows; it names no Intel GPU.
        return {
            "accelerator": _intel(),
            "devices": 1,
            "strategy": SingleDeviceStrategy(torch.device(kind, int(number or 0))),
        }
    return {"accelerator": kind, "devices": [int(number)] if number else devices}


def _intel() -> Any:
    import torch
    from lightning_fabric.accelerators.accelerator import Accelerator

    class XPUAccelerator(Accelerator):
        """https://lightning.ai/docs/fabric/stable/advanced/accelerators.html"""

        def setup_device(self, device: torch.device) -> None:
            torch.xpu.set_device(device)

        def teardown(self) -> None:
            torch.xpu.empty_cache()

        @staticmethod
        def parse_devices(devices: Any) -> Any:
            return devices

        @staticmethod
        def get_parallel_devices(devices: Any) -> list[torch.device]:
            return [torch.device("xpu", number) for number in range(devices)]

        @staticmethod
        def auto_device_count() -> int:
            return torch.xpu.device_count()

        @staticmethod
        def is_available() -> bool:
            return torch.xpu.is_available()

        @staticmethod
        def name() -> str:
            return "xpu"

    return XPUAccelerator()
