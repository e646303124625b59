"""What a bench is given: a folder that is gone afterwards, and whether to be quick."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    folder: Path
    quick: bool

    def count(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    def subfolder(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def fresh(self, name: str) -> Path:
        """A new one each time. Nothing is removed in between: for seconds after many files were deleted, file systems
        (ext4) make new ones several times more slowly, and whoever comes next would pay for it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))
