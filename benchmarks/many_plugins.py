"""What installed plugins cost commands that do not need them, and listings.

CPU seconds (user and system) of whole processes, in pairs: without and with
the plugins, in turn. Of a listing, the time that Python takes to import the same modules is taken off.

    python benchmarks/many_plugins.py --plugins 50 --rounds 10
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from zoo.cli.plugin_new import package

COMMANDS = {
    "zoo --help": ["-m", "zoo", "--help"],
    "zoo info resnet18": ["-m", "zoo", "info", "resnet18"],
    "zoo list loggers": ["-m", "zoo", "list", "loggers"],
    "… --search csv": ["-m", "zoo", "list", "loggers", "--search", "csv"],
    "zoo plugins list": ["-m", "zoo", "plugins", "list"],
}


def install(site: Path, count: int, parts: list[str]) -> list[str]:
    """Generated packages, as pip leaves them. Returns the modules of their plugins."""
    modules = []
    for index in range(count):
        name, module = f"made-{index}", f"made_{index}"
        for path, text in package(name, module, parts).items():
            if path.startswith("src/"):
                file = site / path.removeprefix("src/")
                file.parent.mkdir(exist_ok=True)
                file.write_text(text, encoding="utf-8")
        metadata = site / f"{module}-0.1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n", encoding="utf-8")
        groups = f"[zoo]\n{module} = {module}.plugin\n"
        if "command" in parts:
            groups += f"\n[zoo.commands]\n{name} = {module}.plugin\n"
        (metadata / "entry_points.txt").write_text(groups, encoding="utf-8")
        modules.append(f"{module}.plugin")
    return modules


def cpu_seconds(arguments: list[str], site: Path | None) -> float:
    paths = [str(site)] * (site is not None) + [os.environ.get("PYTHONPATH", "")]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plugins", type=int, default=50)
    parser.add_argument("--parts", nargs="+", default=["backbone", "dataset"], help="as of zoo plugins new")
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder)
        modules = install(site, options.plugins, options.parts)
        base = "import zoo.cli, zoo.registry, zoo.registry.core, zoo.specs, zoo.hookspecs, typer"
        imports = ["-c", f"{base}, {', '.join(modules)}"]
        pairs = {**{name: (command, command) for name, command in COMMANDS.items()}, "imports": (["-c", base], imports)}
        costs: dict[str, list[float]] = {name: [] for name in pairs}
        without: dict[str, list[float]] = {name: [] for name in pairs}
        for _ in range(options.rounds + 1):  # the first round writes bytecode
            for name, (alone, among) in pairs.items():
                first = cpu_seconds(alone, None)
                costs[name].append(cpu_seconds(among, site) - first)
                without[name].append(first)
    print(
        f"{options.plugins} plugins with {', '.join(options.parts)}; {options.rounds} rounds; {sys.version.split()[0]}"
    )
    for name, values in costs.items():
        more = statistics.median(values[1:])
        start = statistics.median(without[name][1:])
        print(f"{name:20} {start:.3f} s without, {more:+.3f} s with, {more / options.plugins * 1000:+.2f} ms each")


if __name__ == "__main__":
    main()
