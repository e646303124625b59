"""Statistics: what was used on a day, in a month, in a year."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

INLINE = {"type": "base64", "source": "cGl4ZWxz", "filename": "a.jpg"}


def test_hours_count_jobs_credits_and_bytes_in_strings(with_server: Any) -> None:
    async def test(api: Any) -> None:
        begin = datetime.now(UTC)
        done = await api.ended(await api.create(input=INLINE, conversion=[{"target": "png"}, {"target": "bmp"}]))
        await api.ended(await api.create(input={**INLINE, "filename": "bad.jpg"}, conversion={"target": "png"}))
        await api.create(process=False, input=INLINE, conversion={"target": "png"})
        days = dict.fromkeys([f"{begin:%Y-%m-%d}", f"{datetime.now(UTC):%Y-%m-%d}"])
        rows = [row for day in days for row in (await api.http.get(f"/stats/day/{day}/all")).json()]

        assert rows[0].pop("created_at") == f"{begin:%Y-%m-%d %H}:00:00"
        assert {name: sum(int(row[name]) for row in rows) for name in rows[0]} == {
            "input_traffic": 12,
            "output_traffic": sum(one["size"] for one in done["output"]),
            "job_counter": 2,
            "conversion_minutes": 2,
            "completed_jobs": 1,
            "failed_jobs": 1,
        }
        assert all(isinstance(value, str) for value in rows[0].values())

    with_server(test)


@pytest.mark.parametrize(
    ("path", "begin"), [("month/2024-02", "2024-02-29 00:00:00"), ("year/2024", "2024-02-01 00:00:00")]
)
def test_hours_are_summed_up_to_days_and_months(with_server: Any, path: str, begin: str) -> None:
    async def test(api: Any) -> None:
        last_of_february = int(datetime(2024, 2, 29, 22, tzinfo=UTC).timestamp()) // 3600
        rows = [("main", key, last_of_february + later) for key in ("a", "b") for later in (0, 1, 2)]

        def use(db: Any) -> None:
            for row in rows:
                db.execute("insert into usage (account, key_id, hour, credits, started) values (?, ?, ?, 3, 1)", row)

        await api.opened.house.database.write(use)
        found = (await api.http.get(f"/stats/{path}/all")).json()

        first = found[0]
        assert (first["created_at"], first["conversion_minutes"], first["job_counter"]) == (begin, "12", "4")
        assert (await api.http.get("/stats/day/2024-03-01/all")).json()[0]["conversion_minutes"] == "6"
        assert (await api.http.get(f"/stats/{path}/single")).json() == []

    with_server(test)


@pytest.mark.parametrize(
    "path",
    [
        "day/yesterday/all", "day/2026-02-30/all", "day/2026-1-1/all", "day/0000-01-01/all", "day/2026-11-23/both",
        "day/2026-11-23 /all", "day/\u0662\u0660\u0662\u0666-11-23/all", "month/2026-13/all", "month/2026/all",
        "year/26/all", "year/0000/all", "year/20260/all",
    ],
)  # fmt: skip
def test_what_is_no_day_month_or_year_is_refused(with_server: Any, path: str) -> None:
    async def test(api: Any) -> None:
        answer = await api.http.get(f"/stats/{path}")

        assert answer.status_code == 400
        assert "must be" in answer.json()["message"]

    with_server(test)


@pytest.mark.parametrize("day", ["0001-01-01", "1969-12-31", "1970-01-01", "2024-02-29", "9999-12-31"])
def test_the_first_and_the_last_day_there_is_can_be_asked_for(with_server: Any, day: str) -> None:
    async def test(api: Any) -> None:
        for path in (f"day/{day}", f"month/{day[:7]}", f"year/{day[:4]}"):
            assert (await api.http.get(f"/stats/{path}/all")).json() == []

    with_server(test)


def test_statistics_need_a_key(with_server: Any) -> None:
    async def test(api: Any) -> None:
        job = await api.staged()
        token = {"X-Oc-Token": job["token"]}

        assert (await api.stranger.get("/stats/year/2026/all")).status_code == 401
        assert (await api.stranger.get("/stats/year/2026/all", headers=token)).status_code == 401

    with_server(test)
