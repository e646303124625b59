"""A file becomes a Recipe: parsed with positions, checked, its constants and secret references in typed values."""

from runner.recipe.check import check_recipes, load_recipes
from runner.recipe.find import find_recipes
from runner.recipe.model import Bucket, Budget, Checked, Foreach, Loaded, Recipe, Save

__all__ = [
    "Bucket",
    "Budget",
    "Checked",
    "Foreach",
    "Loaded",
    "Recipe",
    "Save",
    "check_recipes",
    "find_recipes",
    "load_recipes",
]
