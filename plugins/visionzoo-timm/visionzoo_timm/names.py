"""The names of timm's classifiers, from a file of this package, because timm takes seconds to import.

    python -m visionzoo_timm.names > visionzoo_timm/names.txt

writes the file for the installed timm. With another version of timm, its registry gives the names.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

FILE = Path(__file__).with_name("names.txt")


def names() -> list[str]:
    """Every `NAME` and `NAME.TAG` that becomes a backbone. Empty where timm is not installed."""
    try:
        installed = version("timm")
    except PackageNotFoundError:
        return []
    first, *listed = FILE.read_text(encoding="utf-8").splitlines()
    return listed if first == header(installed) else in_registry()


def header(timm: str) -> str:
    """The first line of the file."""
    return f"# timm {timm}"


def in_registry() -> list[str]:
    """The same from timm's registry. No network is built. First are timm's tiny networks for tests."""
    from visionzoo_timm.configs import known, refusal

    found = [name for name, config in known().items() if refusal(name, config) is None]
    return sorted(found, key=lambda name: (not name.startswith("test_"), name))


if __name__ == "__main__":
    print("\n".join([header(version("timm")), *in_registry()]))
