"""The processes of a training: one, or several that share every batch. Lightning Fabric starts and connects them."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, TypeVar, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, nn

from zoo.errors import UsageError, ZooError
from zoo.processes.children import announced, guard
from zoo.progress import in_notebook
from zoo.training.devices import count, kind_of, placed

T = TypeVar("T")

_ended: list[int] = []  # the sizes of the trainings of this process that ended
PRECISIONS: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "fp32": "32-true",
    "bf16": "bf16-mixed",
    "fp16": "16-mixed",
}


def count_processes(device: str, devices: int | None, nodes: int | None, batch_size: int) -> tuple[int, int]:
    """Processes per machine, and machines. Raises `UsageError` where there are fewer devices, or no way to meet.

    Args:
        device: as `zoo.training.devices.choose_device` returns it.
        devices, nodes: what the user asked for, if anything.
        batch_size: pictures that the processes share.
    """
    started = TorchElasticEnvironment.detect()
    devices, nodes = _started_by_torchrun(devices, nodes) if started else _asked_for(device, devices or 1, nodes or 1)
    if devices * nodes > 1 and (":" in device or kind_of(device) in ("mps", "xpu")):
        raise UsageError(
            f"--device {device} is one device, and {devices * nodes} processes need one each.",
            "Train with one process, or give --device cuda or cpu.",
            code="one-device",
        )
    smallest = 2 * devices * nodes
    if batch_size < smallest:
        raise UsageError(
            f"A batch of {batch_size} is too small for {devices * nodes} processes.",
            f"Give --batch-size {smallest} or more: it counts the pictures of all processes.",
            code="batch-too-small",
        )
    return devices, nodes


def _started_elsewhere() -> bool:
    """Whether torchrun or SLURM started the processes, and not the first of them."""
    return TorchElasticEnvironment.detect() or SLURMEnvironment.detect()


def check_processes(processes: int) -> None:
    """Raises `UsageError` where further processes cannot run this program from its beginning, as they have to.

    Args:
        processes: on this machine.
    """
    if processes == 1 or _started_elsewhere():
        return
    if _ended:
        raise UsageError(
            "The other processes of this script ended with its first training.",
            "Train with several processes once in a script, or start it with torchrun: see docs/scaling.md.",
            code="processes-ended",
        )
    started = getattr(sys.modules["__main__"], "__spec__", None) or Path(sys.argv[0]).is_file()
    if "LOCAL_RANK" not in os.environ and (in_notebook() or not started):
        raise UsageError(
            f"{processes} processes need a script, because each of them runs it. This program is not in a file.",
            "Put the training into a script, or train with one process.",
            code="processes-need-script",
        )


def leave_if_helper() -> None:
    """Ends a process that was started for a training which has ended: the first one goes on with the script alone."""
    if os.environ.get("LOCAL_RANK", "0") != "0" and not _started_elsewhere():
        raise SystemExit(0)


def note_end(processes: int) -> None:
    """Lets `check_processes` know that a training ended."""
    if processes > 1:
        _ended.append(processes)


def _asked_for(device: str, devices: int, nodes: int) -> tuple[int, int]:
    kind = kind_of(device)
    what, there = "CPU core" if kind == "cpu" else "GPU", count(kind)
    if devices > there and ":" not in device:
        plural = "" if there == 1 else "s"
        raise UsageError(
            f"This machine has {there} {what}{plural}, not {devices}.",
            f"Give --devices {there} or fewer.",
            code="too-few-devices",
        )
    if nodes > 1 and "MASTER_ADDR" not in os.environ and not SLURMEnvironment.detect():
        raise UsageError(
            f"The address of the first of the {nodes} machines is missing.",
            "Start with torchrun or srun, or set MASTER_ADDR, MASTER_PORT and NODE_RANK: see docs/scaling.md.",
            code="no-address",
        )
    return devices, nodes


def _started_by_torchrun(devices: int | None, nodes: int | None) -> tuple[int, int]:
    local, whole = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    found = (local, whole // local)
    if (devices or local, nodes or found[1]) != found:
        raise UsageError(
            f"torchrun started {found[1]} x {local} processes, but --devices and --nodes ask for others.",
            "Leave both out under torchrun.",
            code="torchrun-differs",
        )
    return found


def _join(fabric: Fabric) -> None:
    """Starts the processes and connects them until this one exits."""
    connected = torch.distributed.is_initialized()
    guard()
    with announced():
        fabric.launch()
    if not connected:
        atexit.register(_leave)


def _leave() -> None:
    """Ends the threads of the process group.

    One that still holds a tensor while the interpreter shuts down aborts the process:
    https://github.com/pytorch/pytorch/issues/190489. Lightning Fabric ends the group for NCCL alone.
    """
    gc.collect()  # networks, in cycles, that hold the group
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


class World:
    """The processes of one training, seen from one of them.

    Args:
        device: as `zoo.training.devices.choose_device` returns it.
        devices, nodes: as `count_processes` returns them. The first use of a further process starts it.

    Attributes:
        rank: of this process, from 0.
        size: how many there are.
    """

    def __init__(self, device: str = "cpu", devices: int = 1, nodes: int = 1) -> None:
        self._device, self.devices, self._nodes = device, devices, nodes
        self._fabric = self.fabric("fp32")
        self.rank, self.size = self._fabric.global_rank, self._fabric.world_size
        self.device = self._fabric.device

    def fabric(self, precision: str) -> Fabric:
        """Fabric on these processes, in `fp32`, `bf16` or `fp16`."""
        several = self.devices * self._nodes > 1
        # Each process keeps its own BatchNorm statistics in an epoch: `average_buffers` unites them.
        strategy = DDPStrategy(forward_sync_buffers=False) if several else "auto"
        where = {"strategy": strategy, **placed(self._device, self.devices)}
        fabric = Fabric(num_nodes=self._nodes, precision=PRECISIONS[precision], **where)
        if several:
            _join(fabric)
        return fabric

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0

    @property
    def share(self) -> slice:
        """Which rows of a batch are this process's."""
        return slice(self.rank, None, self.size)

    def parts(self, count: int, size: int) -> Iterator[Tensor]:
        """The indices from 0 to `count`, int64, in batches of about equal length: at most `size` for each process."""
        yield from torch.tensor_split(torch.arange(count), -(-count // (size * self.size)))

    def gather(self, rows: Tensor, count: int) -> Tensor:
        """The rows of a whole batch, `[count, ...]`, from every process's share of it, `[n, ...]`."""
        if self.size == 1:
            return rows
        most = -(-count // self.size)
        padded = rows.new_zeros((most, *rows.shape[1:]))
        padded[: len(rows)] = rows
        mine = padded.to(self.device)
        everyones = [torch.empty_like(mine) for _ in range(self.size)]
        torch.distributed.all_gather(everyones, mine)
        return torch.stack(everyones, 1).flatten(0, 1)[:count]

    def sum(self, values: Tensor) -> Tensor:
        """Elementwise, over all processes."""
        return cast(Tensor, self._fabric.all_reduce(values, reduce_op="sum"))

    def broadcast(self, value: T) -> T:
        """The first process's value, in all."""
        return self._fabric.broadcast(value)

    def from_rank_zero(self, make: Callable[[], T]) -> T:
        """What `make` returns or raises in the first process, in all."""
        result: T | ZooError | None = None
        if self.first:
            try:
                result = make()
            except ZooError as error:
                result = error
        result = self.broadcast(result)
        if isinstance(result, ZooError):
            raise result
        return cast(T, result)

    def everyones(self, sentences: Sequence[str]) -> tuple[str, ...]:
        """The sentences of all processes."""
        if self.size == 1:
            return tuple(sentences)
        found: list[Sequence[str]] = [()] * self.size
        torch.distributed.all_gather_object(found, sentences)
        return tuple(sentence for each in found for sentence in each)

    def rank_zero_first(self, work: Callable[[], T]) -> T:
        """Every process does the work, the first of each machine before the others: they find what it downloaded."""
        if self._fabric.local_rank:
            self._fabric.barrier()
        try:
            return work()
        finally:
            if not self._fabric.local_rank:
                self._fabric.barrier()

    def average_buffers(self, module: nn.Module) -> None:
        """Gives running statistics (of BatchNorm) their mean over all processes, in place."""
        if self.size > 1:
            for buffer in module.buffers():
                if buffer.is_floating_point():
                    buffer.copy_(cast(Tensor, self._fabric.all_reduce(buffer.clone(), reduce_op="mean")))
