"""Pretrained weights, loaded by timm: from a local folder, from the cache of the Hugging Face Hub, or downloaded."""

from __future__ import annotations

import os
import socket
import sys
import urllib.request
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from visionzoo_timm.configs import known
from visionzoo_timm.network import timm_module

if TYPE_CHECKING:
    from timm.models import PretrainedCfg
    from torch import Tensor

FOLDER_VARIABLE = "ZOO_TIMM_WEIGHTS"
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".npz")
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
CONNECT_TIMEOUT_S = 4.0


def load(name: str, cannot: str) -> Mapping[str, Tensor]:
    """Returns the state dict as the network of timm has it, with all of its heads.

    timm builds the network with the classes of the weights, so that all entries must fit: with others, it would leave
    what is missing random without a word.

    Args:
        cannot: why the weights cannot be used, empty where they can.

    Raises:
        OSError: the weights cannot be used, are missing and cannot be downloaded, or are damaged.
    """
    if cannot:
        raise OSError(cannot)
    config = known()[name]
    overlay = _local(config)
    if overlay is None and (reason := _unavailable(config)):
        raise OSError(reason)
    from torch.random import fork_rng

    try:
        with fork_rng(devices=[]), redirect_stdout(sys.stderr):
            network: Any = timm_module().create_model(name, pretrained=True, pretrained_cfg_overlay=overlay)
    except Exception as error:  # damaged files and the hub raise many types
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        where = f"'{overlay['file']}'" if overlay else f"the files of {config.hf_hub_id or config.url}"
        raise OSError(f"timm cannot load {where} ({reason.rstrip('.')})") from error
    state: Mapping[str, Tensor] = network.state_dict()
    return state


def _local(config: PretrainedCfg) -> dict[str, Any] | None:
    """What makes timm read the weights from the folder in `ZOO_TIMM_WEIGHTS`, None where they are not there.

    A folder `NAME.TAG`, as the hub has it and `timm.models.save_for_hf` writes it, or a file `NAME.TAG.safetensors`.
    """
    given = os.environ.get(FOLDER_VARIABLE)
    if not given:
        return None
    place = Path(given).expanduser() / (
        f"{config.architecture}.{config.tag}" if config.tag else str(config.architecture)
    )
    if place.is_dir():
        return {"file": str(place), "source": "local-dir"}
    files = [Path(f"{place}{suffix}") for suffix in SUFFIXES]
    file = next((file for file in files if file.is_file()), None)
    return {"file": str(file), "custom_load": file.suffix == ".npz"} if file else None


def _unavailable(config: PretrainedCfg) -> str | None:
    """Why the weights can be neither found in a cache nor downloaded, or None."""
    if config.hf_hub_id:
        return _not_on_hub(config)
    import torch

    url = config.url if isinstance(config.url, str) else str(config.url[0] if config.url else "")
    path = Path(torch.hub.get_dir(), "checkpoints", Path(urlsplit(url).path).name)
    return None if path.exists() else _neither(unreachable(url), str(path.parent))


def _not_on_hub(config: PretrainedCfg) -> str | None:
    from huggingface_hub import constants, try_to_load_from_cache

    repository, _, revision = str(config.hf_hub_id).partition("@")
    names = [config.hf_hub_filename] if config.hf_hub_filename else HUB_FILES
    cached = [try_to_load_from_cache(repository, name, constants.HF_HUB_CACHE, revision or None) for name in names]
    if any(isinstance(each, str) for each in cached):
        return None
    offline = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else unreachable(constants.ENDPOINT)
    return _neither(offline, constants.HF_HUB_CACHE)


def _neither(reason: str | None, cache: str) -> str | None:
    return reason and f"{reason}, and neither '{cache}' nor a folder that {FOLDER_VARIABLE} names has them"


def unreachable(url: str) -> str | None:
    """The reason why a server does not answer, or None if it answers or a proxy is set.

    The hub's own attempts are repeated and take minutes.
    """
    if urllib.request.getproxies():
        return None
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        with socket.create_connection((str(parts.hostname), port), CONNECT_TIMEOUT_S):
            return None
    except OSError as error:
        return f"{parts.hostname} cannot be reached ({error.strerror or error})"
