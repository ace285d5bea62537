"""What is skipped in a folder, counted by kind, with an example of each."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

# Each kind: of one, of several.
HIDDEN = ("hidden file or folder", "hidden files and folders")
SYSTEM = ("file or folder of the system", "files and folders of the system")
FOREIGN = ("picture in a format that zoo cannot read", "pictures in formats that zoo cannot read")
OTHER = ("file that is not a picture", "files that are not pictures")
OUTSIDE = ("picture outside the class folders", "pictures outside the class folders")
SPECIAL = ("device or pipe", "devices and pipes")
BROKEN = ("broken link", "broken links")
CLOSED = ("file that cannot be opened", "files that cannot be opened")
AGAIN = ("link to a folder that is read already", "links to folders that are read already")

Kind = tuple[str, str]

# What desktops, file servers and tools leave among pictures; names in lower case.
SYSTEM_FOLDERS = frozenset(
    {
        "@eadir",
        "@tmp",
        "@recycle",
        "@recently-snapshot",
        ".@__thumb",
        "#recycle",
        "#snapshot",
        "~snapshot",
        "__macosx",
        ".appledouble",
        ".spotlight-v100",
        ".trashes",
        ".fseventsd",
        ".temporaryitems",
        "temporary items",
        "network trash folder",
        "thevolumesettingsfolder",
        "$recycle.bin",
        "recycler",
        "recycled",
        "system volume information",
        "lost+found",
        ".thumbnails",
        ".thumbs",
        ".picasaoriginals",
        ".ipynb_checkpoints",
        "__pycache__",
    }
)
SYSTEM_FILES = frozenset(
    {
        "thumbs.db",
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "desktop.ini",
        "folder.jpg.lnk",
        "icon\r",
        ".ds_store",
        ".localized",
        ".directory",
        ".nomedia",
        ".picasa.ini",
        "picasa.ini",
    }
)
SYSTEM_ENDINGS = ("@synoeastream", "@synoresource")


def is_of_the_system(name: str, *, folder: bool) -> bool:
    """Whether a desktop, a file server or a tool made this file or folder for itself."""
    lowered = name.lower()
    if folder:
        return lowered in SYSTEM_FOLDERS
    # macOS stores what other file systems cannot hold in files named `._` and the name of the picture.
    return lowered in SYSTEM_FILES or lowered.endswith(SYSTEM_ENDINGS) or lowered.startswith("._")


class Skipped:
    """Counts of what was skipped, by kind, with the first example of each."""

    def __init__(self) -> None:
        self.counts: dict[Kind, int] = {}
        self.examples: dict[Kind, Path] = {}

    def add(self, kind: Kind, *paths: Path) -> None:
        for path in paths:
            self.counts[kind] = self.counts.get(kind, 0) + 1
            self.examples.setdefault(kind, path)

    def count(self, kinds: Iterable[Kind]) -> int:
        return sum(self.counts.get(kind, 0) for kind in kinds)

    def sentence(self, folder: Path) -> str | None:
        """One sentence about a folder, or None where nothing was skipped."""
        if not self.counts:
            return None
        parts = []
        for kind, count in self.counts.items():
            path = self.examples[kind]
            example = path.relative_to(folder) if path.is_relative_to(folder) else path
            among = "" if count == 1 else "for example "
            parts.append(f"{count:,} {kind[count > 1]} ({among}'{example}')")
        return f"Skipped in '{folder}': {', '.join(parts)}."
