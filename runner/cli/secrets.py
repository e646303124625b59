"""Secret references become values here, at the moment a request is made, and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

from runner.recipe.secrets import resolve_reference
from runner.wire.values import Json, JsonObject


def resolve_secret(reference: JsonObject, folder: Path) -> Json:
    """The value of a reference in a recipe of `folder`. Raises InvalidError that names it, never the value."""
    return resolve_reference(reference, env=os.environ, folder=folder)
