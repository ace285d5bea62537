"""Runs modules of the page in Node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from visionzoo_web.write import SITE

needs_node = pytest.mark.skipif(
    shutil.which("node") is None and os.environ.get("CI") != "true", reason="not installed: node"
)


def run(folder: Path, code: str, given: object = None) -> object:
    """What a module returns: `code` is the body of an async function of `given`, after its imports from `./site/`.

    Args:
        folder: an empty one, which gets a copy of the page's modules.
    """
    site = folder / "site"
    if not site.exists():
        shutil.copytree(SITE, site)
        (folder / "package.json").write_text('{"type": "module"}')
    imports = "".join(f"{line}\n" for line in code.splitlines() if line.startswith("import "))
    body = "\n".join(line for line in code.splitlines() if not line.startswith("import "))
    program = f"""{imports}import {{ readFileSync }} from "node:fs";
const given = JSON.parse(readFileSync(0, "utf8"));
const answer = async () => {{ {body} }};
console.log(JSON.stringify(await answer()));
"""
    (folder / "program.js").write_text(program)
    ended = subprocess.run(
        ["node", folder / "program.js"], input=json.dumps(given).encode(), capture_output=True, check=False, timeout=120
    )
    assert ended.returncode == 0, ended.stderr.decode()
    return json.loads(ended.stdout)
