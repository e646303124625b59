"""A file becomes a Recipe: parsed with positions, checked, its constants and secret references in typed values.

No re-exports: a check doesn't load what makes recipes, and what reads recipes doesn't load what checks them.
"""
