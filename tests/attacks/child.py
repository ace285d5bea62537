"""Does what a line of stdin asks for, and prints what it came to and took as JSON. One step, one line.

    python -P child.py pictures MAX_PIXELS     each line is a picture's path, to be decoded
    python -P child.py artifacts SUFFIX        each line is an artifact's path: card, opening, one prediction

Run by `process.Process`: what never ends is ended by killing this process. The first line says that it is ready.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Beyond what there is at the start: no attack may take the machine down.
MEMORY = {"pictures": 3 * 2**30, "artifacts": 2 * 2**30}


def mebibytes(name: str) -> float:
    """A figure of this process: VmRSS (now), VmHWM (the most since `forget`), VmSize."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def forget() -> float:
    """Forgets how much memory there was at most so far; returns what there is."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return mebibytes("VmRSS")


def bytes_on_disk() -> int:
    """Of all files in the two folders that are this process's own, and one more for each file."""
    paths = [path for folder in (os.environ["TMPDIR"], ".") for path in Path(folder).rglob("*")]
    return sum(1 + path.stat().st_size for path in paths if path.is_file())


def measured(call: Callable[[], object]) -> dict[str, Any]:
    """`comes` is what the call returns, a refusal with its `code`, or an error of another project."""
    from zoo.errors import ZooError

    # The processor's time: a busy machine is not an attack.
    disk, memory, begin = bytes_on_disk(), forget(), time.process_time()
    code = ""
    try:
        comes = call()
    except ZooError as error:
        comes, code = f"refused: {error}", error.code
    except BaseException as error:
        comes = f"{type(error).__name__} got out: {error}"
    seconds, mib = time.process_time() - begin, mebibytes("VmHWM") - memory
    return {"comes": comes, "code": code, "seconds": seconds, "mib": mib, "disk": bytes_on_disk() - disk}


def pictures(max_pixels: str) -> Callable[[Path], None]:
    from PIL import Image

    from zoo.images import read_picture

    Image.init()  # what is loaded later would count

    def decode(path: Path) -> None:
        data = path.read_bytes()

        def shape() -> list[object]:
            picture = read_picture(data, max_pixels=int(max_pixels))
            return [*picture.shape, str(picture.dtype)]

        say(measured(shape))

    return decode


def artifacts(suffix: str) -> Callable[[Path], None]:
    import numpy as np
    import onnxruntime  # noqa: F401  (as above)

    if suffix != ".onnx":
        import torch._export.serde.serialize
        import torch._inductor.cpp_builder  # noqa: F401
        from torch.export.passes import move_to_device_pass  # noqa: F401

    from zoo.artifacts.predictor import Predictor, load, read_card
    from zoo.registry import registry

    registry()
    picture = np.full((8, 8, 3), 9, np.uint8)

    def use(path: Path) -> None:
        opened: list[Predictor] = []
        steps: list[Callable[[], object]] = [
            lambda: read_card(path),
            lambda: opened.append(load(path)),
            lambda: opened[0].predict([picture]),
        ]
        for step in steps:
            found = measured(lambda: step() and None)  # noqa: B023
            refused = found["comes"] is not None
            say(found | {"comes": found["comes"] or "taken", "last": refused or step is steps[-1]})
            if refused:
                return

    return use


def say(found: dict[str, Any]) -> None:
    print(json.dumps(found), flush=True)


def main(kind: str, argument: str) -> None:
    answer = {"pictures": pictures, "artifacts": artifacts}[kind](argument)
    limit = int(mebibytes("VmSize") * 2**20) + MEMORY[kind]
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    say({})
    for line in sys.stdin:
        answer(Path(line.rstrip("\n")))


if __name__ == "__main__":
    main(*sys.argv[1:])
