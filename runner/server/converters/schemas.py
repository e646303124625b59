"""JSON Schemas of the options that targets share, built from small parts; the words users read."""

from __future__ import annotations

from collections.abc import Mapping

from runner.wire.values import Json

Schema = Mapping[str, Json]
Schemas = Mapping[str, Schema]

# The server core acts on these; no converter reads them.
COMMON: Schemas = {
    "allow_multiple_outputs": {
        "type": "boolean",
        "default": False,
        "description": "Give one download link per file. Without it, several files of one conversion are packed.",
    },
    "allow_multiple_outputs_threshold": {
        "type": "integer",
        "minimum": 2,
        "maximum": 400,
        "description": "With allow_multiple_outputs: from more files than this on, they are packed after all.",
    },
    "download_password": {
        "type": "string",
        "pattern": "^[ -~]{0,1000}$",
        "description": "Password that a download of the result asks for; printable ASCII, at most 1000 characters.",
    },
    "output_filename": {
        "type": "string",
        "pattern": r"^[\w\W]{0,255}$",
        "description": "Name of the result without its extension; folders and control characters are left out.",
    },
    "preset": {
        "type": "string",
        "pattern": r"^[\w\W]{1,255}$",
        "description": "Id of a preset, a stored set of options.",
    },
}

HANDLINGS = (
    "keep_aspect_ratio",
    "stretch",
    "keep_aspect_ratio_crop",
    "keep_aspect_ratio_fill_black",
    "keep_aspect_ratio_fill_white",
    "keep_aspect_ratio_fill_blurred",
    "keep_aspect_ratio_fill_transparent",
)
UNITS = ("px", "perc", "inches", "cm", "mm")
COLORS = ("colored", "gray", "monochrome", "negate", "1980", "1900")

GEOMETRY: Schemas = {
    "width": {
        "type": "number",
        "minimum": 1,
        "maximum": 65000,
        "description": "Width of the result in the unit of resize_by. Alone, the height follows.",
    },
    "height": {
        "type": "number",
        "minimum": 1,
        "maximum": 65000,
        "description": "Height of the result in the unit of resize_by. Alone, the width follows.",
    },
    "resize_by": {
        "type": "string",
        "enum": list(UNITS),
        "default": "px",
        "description": "Unit of width and height; inches, cm and mm count with dpi, else with the picture's own "
        "density, else with 96 dots per inch.",
    },
    "resize_handling": {
        "type": "string",
        "enum": list(HANDLINGS),
        "default": "keep_aspect_ratio",
        "description": "What happens when the shape differs from width x height: fit inside, stretch, "
        "cut off what stands out, or fill what is missing.",
    },
    "rotate": {
        "type": "integer",
        "minimum": 0,
        "maximum": 359,
        "default": 0,
        "description": "Degrees clockwise, before resizing; the canvas grows as needed.",
    },
    "color": {
        "type": "string",
        "enum": list(COLORS),
        "default": "colored",
        "description": "Colour treatment: 1980 is faded and warm, 1900 sepia.",
    },
    "dpi": {
        "type": "integer",
        "minimum": 10,
        "maximum": 1200,
        "description": "Density written into the result, but for gif and ico, which hold none; drawings (svg) are "
        "rendered at it.",
    },
}


def quality(default: int) -> Schemas:
    return {
        "quality": {
            "type": "integer",
            "minimum": 1,
            "maximum": 100,
            "default": default,
            "description": "Quality of lossy compression; smaller is a smaller file.",
        }
    }


MERGE: Schemas = {
    "merge": {
        "type": "boolean",
        "default": False,
        "description": "Combine all inputs into one file, in their order.",
    },
}

# resize-image and thumbnail are documented by the API; where our words are wider the documented bounds stand.
RESIZE_OPERATION: Schemas = {
    **{name: GEOMETRY[name] for name in ("width", "height", "resize_by", "resize_handling", "dpi")},
    "aspect_ratio": {
        "type": "string",
        "pattern": r"^\d{1,6}:\d{1,6}$",
        "example": "16:9",
        "description": "Shape of the result, like 16:9; width and height are then ignored.",
    },
    "resize_target": {
        "type": "string",
        "enum": ["bmp", "gif", "ico", "jpg", "png", "tga", "tiff", "webp"],
        "description": "Format of the result; the format of the input where it is one of these, else png.",
    },
}

_PAGES = "(([0-9]{1,9}|first)(-([0-9]{1,9}|last)?)?|last)"

THUMBNAIL: Schemas = {
    "thumbnail_target": {
        "type": "string",
        "enum": ["jpg", "png"],
        "default": "png",
        "description": "Format of the thumbnail.",
    },
    "width": {
        "type": "integer",
        "minimum": 10,
        "maximum": 500,
        "description": "Width in pixels; 200 where neither width nor height is given.",
    },
    "height": {"type": "integer", "minimum": 10, "maximum": 500, "description": "Height in pixels."},
    "dpi": {"type": "integer", "minimum": 10, "maximum": 300, "description": "Density written into the result."},
    "interlace": {
        "type": "string",
        "enum": ["line", "plane"],
        "description": "Makes a jpg progressive; a png is never interlaced.",
    },
    "pages": {
        "type": "string",
        # Narrower than the documented one, which takes "5last" and "first5" too, and numbers of any length.
        "pattern": rf"^{_PAGES}(, ?{_PAGES})*$",
        "default": "1-last",
        "example": "5-8,10",
        "description": "Pages to make thumbnails of; first and last are names of pages.",
    },
}
