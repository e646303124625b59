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
        """A new one each time. Nothing is removed in between: up to five minutes after many files were deleted, a file
        system without a journal (ext4) looks at each of them before it makes a new one, and whoever comes next would
        pay for it, the more the more files they make."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))
