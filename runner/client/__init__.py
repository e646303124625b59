"""The HTTP edge of the API: calls, uploads, downloads, pacing. Nothing here knows of keys, logs or recipes.

Import from the modules: `errors` costs nothing, the others bring the HTTP library along.
"""
