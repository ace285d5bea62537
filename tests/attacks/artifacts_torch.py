"""TorchScript and pt2 files: programs that do more than answer, and zips that two readers may take for two files."""

from __future__ import annotations

import io
import json
import re
import struct
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo.models.classifier import Classifier
from zoo.specs import PreprocessSpec, WriteOptions
from zoo_exporters import pt2, torchscript
from zoo_exporters.archive import Archive

from .attack import ENDLESS, Artifact
from .graphs import card

Entries = dict[str, bytes]
Change = Callable[[bytes], bytes]
CODE = "code/__torch__/attacks.py"
NOT_OURS = "foreign-code"
NO_MEMORY = "too-little-memory"


_numbers = count()


@cache
def script(body: str = "") -> Entries:
    """The entries of a TorchScript file that answers with the means of the colours, after a few lines."""
    lines = ["def forward(self, image: Tensor) -> Tuple[Tensor, Tensor]:", "    x = image.float().mean([1, 2])"]
    lines += [*(f"    {line}" for line in body.splitlines()), "    return x, x", ""]
    file = io.BytesIO()
    with warnings.catch_warnings(action="ignore"):  # TorchScript is deprecated
        # PyTorch knows a class by its name, and takes no other methods for it.
        name = f"Attack{next(_numbers)}"
        module: Any = type(name, (torch.jit.ScriptModule,), {"__module__": "attacks"})()
        module.define("\n".join(lines))
        torch.jit.save(module, file)
    return entries(file)


@cache
def exported() -> Entries:
    """Those of a small pt2 file that zoo wrote."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.pt2")
        pt2.write(Classifier(network, "abc", PreprocessSpec(image_size=8), check=False).eval(), path, WriteOptions())
        return entries(path)


def entries(file: Any) -> Entries:
    with zipfile.ZipFile(file) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist() if ".debug_pkl" not in name}


def write(path: Path, archive: Archive, contents: Entries) -> None:
    """The zip, with a card whose hash is right."""
    with zipfile.ZipFile(path, "w") as file:
        for name, value in contents.items():
            file.writestr(zipfile.ZipInfo(f"archive/{name}"), value)
    archive.write_card(path, card(format=path.stem, content_hash=archive.content_hash(path)).model_dump_json())


def torchscript_file(name: str, body: str = "", change: Change | None = None, **expected: Any) -> Artifact:
    """A program with a few lines of its own, the text of which may be changed."""

    def build(path: Path) -> None:
        contents = script(body)
        changed = {CODE: change(contents[CODE])} if change else {}
        write(path, torchscript.ARCHIVE, contents | changed)

    return Artifact(f"{name}.pt", build, **expected)


def before_return(text: bytes) -> Change:
    return lambda code: code.replace(b"    return (x, x)", text + b"    return (x, x)")


def multiplying(depth: int) -> Change:
    """Methods that call the one before twice: PyTorch puts 2^depth nodes in their place."""

    def change(code: bytes) -> bytes:
        own = re.findall(rb"self: ([\w.]+)", code)[0]
        methods = [b"  def f0(self: %b,\n    x: Tensor) -> Tensor:\n    return torch.neg(x)\n" % own]
        for i in range(1, depth):
            call = b"(self).f%d((self).f%d(x, ), )" % (i - 1, i - 1)
            methods.append(b"  def f%d(self: %b,\n    x: Tensor) -> Tensor:\n    return %b\n" % (i, own, call))
        return before_return(b"    x = (self).f%d(x, )\n" % (depth - 1))(code) + b"".join(methods)

    return change


def pt2_file(name: str, change: Callable[[Any], object], entry: str = "models/model.json", **expected: Any) -> Artifact:
    """The sound file with a changed part, which is JSON."""

    def build(path: Path) -> None:
        part = json.loads(exported()[entry])
        change(part)
        write(path, pt2.ARCHIVE, exported() | {entry: json.dumps(part).encode()})

    return Artifact(f"{name}.pt2", build, **expected)


def target(name: str) -> Callable[[Any], object]:
    """Gives the first operator of the program another name."""

    def change(program: Any) -> None:
        program["graph_module"]["graph"]["nodes"][0]["target"] = name

    return change


def zipped(name: str, change: Callable[[bytes], bytes], **expected: Any) -> Artifact:
    """The sound TorchScript file, changed behind its writer's back."""

    def build(path: Path) -> None:
        write(path, torchscript.ARCHIVE, script())
        path.write_bytes(change(path.read_bytes()))

    return Artifact(f"{name}.pt", build, **expected)


def appended(name: str, value: bytes = b"", flags: int = 0) -> Change:
    """One more entry."""

    def change(data: bytes) -> bytes:
        file = io.BytesIO(data)
        with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(file, "a") as archive:
            entry = zipfile.ZipInfo(name)
            archive.writestr(entry, value)
            entry.flag_bits |= flags
        return file.getvalue()

    return change


def first_local(offset: int, form: str, value: int | bytes) -> Change:
    """Changes the header before the first entry, and not what the directory says of it."""

    def change(data: bytes) -> bytes:
        changed = bytearray(data)
        struct.pack_into(form, changed, offset, value)
        return bytes(changed)

    return change


def inner() -> bytes:
    """A whole file of another program."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, value in script("while True:\n    x = x + 1").items():
            archive.writestr(f"archive/{name}", value)
    return file.getvalue()


def two_directories(data: bytes) -> bytes:
    """The whole file once more, as the comment of its last record: readers begin at either end."""
    return data[:-2] + struct.pack("<H", len(data) % 65_536) + data


TORCH = [
    torchscript_file("script"),
    torchscript_file(
        "products-for-years",
        "y = torch.ones([3000, 3000])\nfor i in range(1000000):\n    y = torch.mm(y, y)",
        predict=ENDLESS,
        slow=True,
    ),
    torchscript_file("zeros-2^40", "x = x + torch.zeros([1099511627776]).max()", predict=NO_MEMORY),
    torchscript_file(
        "list-doubles",
        "y = [x]\nfor i in range(60):\n    y = y + y\nx = x + len(y)",
        predict=NO_MEMORY,
        mib=2100,
        seconds=20,
        slow=True,
    ),
    torchscript_file(
        "text-doubles",
        "s = 'aaaaaaaa'\nfor i in range(60):\n    s = s + s\nx = x + len(s)",
        predict=NO_MEMORY,
        mib=2100,
        seconds=20,
        slow=True,
    ),
    torchscript_file("prints", "print('a line')", load=NOT_OURS),
    torchscript_file("prints-what-it-computes", "print(chr(int(x.sum()) * 0 + 27))", load=NOT_OURS),
    torchscript_file(
        "raises-with-escapes",
        "n = int(x.sum()) * 0\nif n == 0:\n    raise Exception(chr(n + 27) + '[2J')",
        predict="runtime-failed",
    ),
    torchscript_file("saves", "torch.save(x, 'stolen')", load=NOT_OURS),
    torchscript_file("reads-a-file", "x = x + torch.from_file('/etc/passwd', False, 4)", load=NOT_OURS),
    torchscript_file(
        "starts-threads",
        "for i in range(2000):\n    f = torch.jit._fork(torch.sin, x)\n    y = torch.jit._wait(f)",
        predict="taken",
    ),
    torchscript_file(
        "calls-itself",
        change=before_return(b"    x, y = (self).forward(image, )\n"),
        load="runtime-refuses: called recursively",
    ),
    torchscript_file("methods-that-multiply", change=multiplying(30), predict=ENDLESS, mib=2100, slow=True),
    torchscript_file("nested-2500-deep", change=before_return(b"    y = " + b"not " * 2500 + b"True\n")),
    torchscript_file("nested-6000-deep", change=before_return(b"    y = " + b"not " * 6000 + b"True\n"), load=NOT_OURS),
    torchscript_file("library-of-its-own", change=before_return(b"    y = ops.own.backdoor(x)\n"), load=NOT_OURS),
    torchscript_file(
        "class-of-a-library",
        change=before_return(b"    y = __torch__.torch.classes.own.C.__new__(__torch__.torch.classes.own.C)\n"),
        load=NOT_OURS,
    ),
    torchscript_file("program-of-4-MiB", change=lambda code: code + b" " * 2**22, load="program-too-large: 3 MiB"),
    torchscript_file(
        "logits-of-6-classes", "x = torch.cat([x, x], 1)", predict="logits-shape: [1, 6] instead of [1, 3]"
    ),
    torchscript_file("logits-are-not-finite", "x = x / 0", predict="logits-not-finite"),
    Artifact("zip-in-zip.pt", lambda path: write(path, torchscript.ARCHIVE, script() | {"data/9": inner()})),
    zipped("two-entries-of-one-name", appended("archive/data.pkl", b"other"), card="entry-twice"),
    zipped("entry-of-another-case", appended("archive/DATA.pkl"), card="foreign-entry"),
    zipped(
        "entry-with-a-zero-byte",
        lambda data: appended("archive/data/8?.so")(data).replace(b"8?.so", b"8\0.so"),
        card="packed-entry",
    ),
    zipped("entry-that-climbs-in-windows", appended("archive\\..\\..\\evil"), card="foreign-folder"),
    zipped("local-header-of-another-name", first_local(30, "8s", b"elsewher"), load="damaged-file"),
    zipped("local-header-deflated", first_local(8, "<H", 8), card="damaged-file"),
    zipped("local-header-of-another-size", first_local(18, "<Q", 2**32 + 1), card="damaged-file"),
    zipped("two-directories", two_directories, card="damaged-file"),
    zipped("comment-behind-the-end", lambda data: data[:-2] + b"\4\0more", card="damaged-file"),
    pt2_file("operator-of-python", target("builtins.eval"), load="foreign-value: 'target'"),
    pt2_file("operator-of-a-library", target("torch.ops.own.backdoor.default"), load="foreign-value: 'target'"),
    pt2_file("operator-that-loops", target("torch.ops.higher_order.while_loop"), load="foreign-value: 'target'"),
    pt2_file(
        "operator-that-does-not-exist", target("torch.ops.aten.backdoor.default"), load="runtime-refuses: PyTorch"
    ),
    # Last of all: its process has to be started again.
    torchscript_file("while-true", "while True:\n    x = x + 1", predict=ENDLESS, verify="no answer within 2 seconds"),
]
