"""What a gif leaves open: nothing was drawn there, or a frame took it away again. Pillow fills it with some colour."""

from __future__ import annotations

from PIL import GifImagePlugin, Image

CLEARED, AS_BEFORE = 2, 3  # what becomes of a frame when the next one comes; GIF89a, 23 (disposal method)


class Ground:
    """What of the canvas is drawn on, frame by frame; to be asked of each frame in order, when its pixels are read."""

    def __init__(self) -> None:
        self._drawn: Image.Image | None = None  # 255 where something is

    def opened_in(self, picture: Image.Image) -> Image.Image:
        """`picture`, transparent where nothing is. One that has transparency of its own Pillow clears by itself."""
        if not isinstance(picture, GifImagePlugin.GifImageFile) or not picture.dispose_extent:
            return picture
        before = self._grown_to(picture.size)
        now = before.copy()
        now.paste(255, picture.dispose_extent)
        after = before if picture.disposal_method == AS_BEFORE else now.copy()
        if picture.disposal_method == CLEARED:
            after.paste(0, picture.dispose_extent)
        self._drawn = after
        if picture.has_transparency_data or now.getextrema() == (255, 255):
            return picture
        opened = picture.convert("RGBA")
        opened.putalpha(now)
        return opened

    def _grown_to(self, size: tuple[int, int]) -> Image.Image:
        """Some frames reach beyond the canvas, which grows then."""
        if self._drawn is not None and self._drawn.size == size:
            return self._drawn
        ground = Image.new("L", size)
        if self._drawn is not None:
            ground.paste(self._drawn, (0, 0))
        return ground
