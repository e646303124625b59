"""File conversion as code: recipes, checked, planned and run without buying anything twice."""

__version__ = "0.1.0"
