"""Presets: named options, made once and used by their id."""

from __future__ import annotations

from typing import Any

import pytest

NEW = {"name": "Facebook HQ", "target": "jpg", "options": {"quality": 70, "width": "64"}}


async def made(api: Any, **more: Any) -> dict[str, Any]:
    answer = await api.http.post("/presets", json={**NEW, **more})
    assert answer.status_code == 201, answer.text
    preset: dict[str, Any] = answer.json()
    return preset


def test_a_preset_gets_an_id_its_category_and_is_private(with_server: Any) -> None:
    async def test(api: Any) -> None:
        preset = await made(api)

        assert {**preset, "id": ""} == {**NEW, "id": "", "category": "image", "scope": "private"}
        assert (await api.http.get(f"/presets/{preset['id']}")).json() == preset

    with_server(test)


def test_a_conversion_takes_a_presets_options_and_its_own_win(with_server: Any) -> None:
    async def test(api: Any) -> None:
        preset = await made(api)
        options = {"preset": preset["id"], "quality": 90, "dpi": None}
        job = await api.create(process=False, conversion={"target": "jpg", "options": options})
        (await api.http.delete(f"/presets/{preset['id']}")).raise_for_status()
        shown = (await api.get(job))["conversion"][0]["options"]

        assert (shown["quality"], shown["width"], shown["preset"]) == (90, 64, preset["id"])

    with_server(test)


def test_a_preset_is_used_by_a_conversion_that_is_added_or_changed(with_server: Any) -> None:
    async def test(api: Any) -> None:
        preset = await made(api)
        job = await api.create(process=False)
        added = await api.http.post(
            f"/jobs/{job['id']}/conversions", json={"target": "jpg", "options": {"preset": preset["id"]}}
        )
        other = (await api.http.post(f"/jobs/{job['id']}/conversions", json={"target": "jpg"})).json()
        changed = await api.http.patch(
            f"/jobs/{job['id']}/conversions/{other['id']}", json={"options": {"preset": preset["id"]}}
        )

        assert [one.json()["options"]["quality"] for one in (added, changed)] == [70, 70]

    with_server(test)


@pytest.mark.parametrize(
    ("conversion", "words"),
    [
        ({"target": "png"}, "is for image/jpg, not for any/png"),
        ({"target": "jpg", "options": {"preset": "nobody's"}}, "no preset of this account"),
        ({"target": "jpg", "options": {"preset": ["x"]}}, "no preset of this account"),
    ],
)
def test_a_preset_that_doesnt_fit_is_refused(with_server: Any, conversion: dict[str, Any], words: str) -> None:
    async def test(api: Any) -> None:
        preset = await made(api)
        body = {"options": {"preset": preset["id"]}, **conversion}
        answer = await api.http.post("/jobs", json={"conversion": body})

        assert answer.status_code == 400
        assert words in answer.json()["errors"]["conversion.0.options.preset"]

    with_server(test)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"target": "jpgg"}, "target"),
        ({"target": None}, "target"),
        ({"category": "audio"}, "target"),
        ({"scope": "mine"}, "scope"),
        ({"options": {"quality": 140}}, "options.quality"),
        ({"options": {"qualty": 40}}, "options.qualty"),
        ({"options": "best"}, "options"),
        ({"options": {"preset": "x"}}, "options.preset"),
        ({"options": {"download_password": "x"}}, "options.download_password"),
    ],
)
def test_what_is_no_preset_is_refused_with_its_place(with_server: Any, change: dict[str, Any], place: str) -> None:
    async def test(api: Any) -> None:
        answer = await api.http.post("/presets", json={**NEW, **change})

        assert answer.status_code == 400
        assert place in answer.json()["errors"]
        assert (await api.http.get("/presets")).json() == []

    with_server(test)


def test_an_empty_array_is_no_options(with_server: Any) -> None:
    async def test(api: Any) -> None:
        assert (await made(api, options=[]))["options"] == {}

    with_server(test)


def test_a_preset_is_changed_in_part_and_wrongly_not_at_all(with_server: Any) -> None:
    async def test(api: Any) -> None:
        preset = await made(api)
        path = f"/presets/{preset['id']}"
        renamed = (await api.http.patch(path, json={"name": "Other"})).json()
        moved = await api.http.patch(path, json={"target": "mp3"})
        refused = await api.http.patch(path, json={"options": {"quality": 0}, "name": "Worse"})
        retargeted = (await api.http.patch(path, json={"target": "webp", "options": {"quality": 5}})).json()

        assert renamed == {**preset, "name": "Other"}
        assert (moved.status_code, refused.status_code) == (400, 400)
        assert retargeted == {**renamed, "target": "webp", "options": {"quality": 5}}

    with_server(test)


def test_the_list_is_filtered_by_category_target_and_words_of_the_name(with_server: Any) -> None:
    async def test(api: Any) -> None:
        for name, target in (("Facebook HQ", "jpg"), ("facebook small", "jpg"), ("HQ", "webp")):
            await made(api, name=name, target=target, options={})

        async def found(**query: str) -> list[str]:
            return [one["name"] for one in (await api.http.get("/presets", params=query)).json()]

        assert await found() == ["Facebook HQ", "facebook small", "HQ"]
        assert await found(filter="facebook,hq") == ["Facebook HQ"]
        assert await found(filter="hq, ,") == ["Facebook HQ", "HQ"]
        assert await found(category="image", target="webp") == ["HQ"]
        assert await found(category="audio") == []

    with_server(test)


def test_strangers_see_public_presets_without_options(with_server: Any) -> None:
    async def test(api: Any) -> None:
        private, public = await made(api), await made(api, scope="public")
        seen = (await api.stranger.get("/presets")).json()

        assert seen == [{name: value for name, value in public.items() if name != "options"}]
        assert (await api.stranger.get("/presets", headers={"X-Oc-Api-Key": "wrong"})).status_code == 401
        for method in ("GET", "PATCH", "DELETE"):
            assert (await api.stranger.request(method, f"/presets/{private['id']}", json={})).status_code == 401
        assert (await api.stranger.post("/presets", json=NEW)).status_code == 401

    with_server(test)


def test_pages_have_fifty_and_end_empty(with_server: Any) -> None:
    async def test(api: Any) -> None:
        for number in range(52):
            await made(api, name=str(number), options={})
        pages = [await api.http.get("/presets", params={"page": number}) for number in (1, 2, 3)]

        assert [len(one.json()) for one in pages] == [50, 2, 0]
        assert {one.headers["X-Count"] for one in pages} == {"52"}
        assert (await api.http.get("/presets", params={"page": "0"})).status_code == 400

    with_server(test)


def test_a_preset_that_isnt_there_is_404(with_server: Any) -> None:
    async def test(api: Any) -> None:
        for method in ("GET", "PATCH", "DELETE"):
            assert (await api.http.request(method, "/presets/none", json={})).status_code == 404

    with_server(test)
