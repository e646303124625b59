"""The `metadata` of a conversion, through the server and its workers: what becomes of a photo that says too much."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image

from tests.server.test_survival import server, until_ended


def test_a_cleared_photo_says_what_it_is_told_to_and_a_gif_that_it_cannot(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x013B] = "Somebody"
    exif.get_ifd(0x8825)[1] = "N"
    photo = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(photo, "JPEG", exif=exif)
    source = {
        "type": "base64",
        "source": base64.b64encode(photo.getvalue()).decode(),
        "filename": "a.jpg",
    }
    wished = {"clear_all": True, "author": "Me"}
    with server(tmp_path / "state") as (http, _):
        made = http.post(
            "/jobs",
            json={"input": [source], "conversion": [{"target": one, "metadata": wished} for one in ("jpg", "gif")]},
        )
        done = until_ended(http, made.json()["id"])
        jpg = http.get(next(one["uri"] for one in done["output"] if one["filename"] == "a.jpg")).content

    assert done["status"]["code"] == "completed"
    with Image.open(io.BytesIO(jpg)) as result:
        assert result.getexif()[0x013B] == "Me"
        assert not result.getexif().get_ifd(0x8825)
    (gif,) = [one["id"] for one in done["conversion"] if one["target"] == "gif"]
    (warning,) = done["warnings"]
    assert (warning["source"], warning["id_source"], warning["code"]) == ("conversion", gif, 6909)
    assert warning["message"] == "A gif has no place for author; the result is without."
