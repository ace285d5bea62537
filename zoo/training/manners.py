"""What a training sets for its whole process, put back when it ends: others work in that process too."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from zoo.processes.memory import freed_memory_kept
from zoo.processes.state import handlers_kept

FABRIC = ("lightning_fabric.utilities.rank_zero", "lightning_fabric.utilities.distributed")
CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


@contextmanager
def put_back(*, deterministic: bool = False) -> Iterator[None]:
    """Sets what a training needs: the allocator, quiet loggers and, if asked for, deterministic algorithms.

    SIGTERM interrupts like Ctrl-C, so that a job that is ended loses no epoch. At the end all of these are as they
    were, and so are PyTorch's generators of random numbers and its number of threads.
    """
    with ExitStack() as stack:
        stack.enter_context(handlers_kept())
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _terminate)
        stack.enter_context(freed_memory_kept())
        stack.enter_context(torch.random.fork_rng(_seeded_gpus()))
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        for name in FABRIC:  # it announces processes and precisions, which the summary says
            logger = logging.getLogger(name)
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.WARNING)
        if deterministic:
            stack.enter_context(_deterministic())
        yield


def _terminate(number: int, _: object) -> None:
    raise KeyboardInterrupt(number)  # with the number, which becomes part of the exit code


def _seeded_gpus() -> list[int]:
    # Asking for the state of a GPU that nobody uses yet would start CUDA on it.
    return list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]


@contextmanager
def _deterministic() -> Iterator[None]:
    # https://docs.pytorch.org/docs/stable/generated/torch.use_deterministic_algorithms.html
    before, workspace = torch.are_deterministic_algorithms_enabled(), os.environ.get(CUBLAS)
    os.environ.setdefault(CUBLAS, ":4096:8")
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        if workspace is None:
            del os.environ[CUBLAS]
