"""Where files really lie: a folder may be a link, and one file has several paths then. Links come in as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Links:
    """
    folders  those that a link on their way, or at its end, leads elsewhere, with where they really are; both absolute
    """

    folders: Mapping[str, str] = field(default_factory=dict)

    def real(self, path: str) -> str:
        """`path` with the links to its folder followed; a link at its end is what may be replaced, and stays."""
        if not self.folders:
            return path
        folder, _, name = path.rpartition("/")
        return f"{self.folders[folder].rstrip('/')}/{name}" if folder in self.folders else path

    def real_folder(self, folder: str) -> str:
        return self.folders.get(folder, folder)


NO_LINKS = Links()
