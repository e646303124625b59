"""Presets in the database: named sets of options for one target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import apsw
import orjson

from runner.server.store.database import Database, Value
from runner.wire.values import JsonObject


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """`scope` is "private", for its account, or "public", for everybody here."""

    id: str
    account: str
    name: str
    target: str
    category: str
    scope: str
    options: JsonObject


_COLUMNS = "id, account, name, target, category, scope, options"


class PresetStore:
    def __init__(self, database: Database) -> None:
        self._db = database

    def find(self, preset_id: str, account: str) -> Preset | None:
        """The preset of that id, where `account` may use it."""
        row = self._db.row(
            f"select {_COLUMNS} from presets where id = ? and (account = ? or scope = 'public')",  # noqa: S608
            (preset_id, account),
        )
        return _preset(row) if row else None

    def own(self, preset_id: str, account: str) -> Preset | None:
        found = self.find(preset_id, account)
        return found if found and found.account == account else None

    def visible(self, account: str | None, category: str | None, target: str | None) -> list[Preset]:
        """The public ones and those of `account`, oldest first."""
        rows = self._db.rows(
            f"select {_COLUMNS} from presets where (scope = 'public' or account = ?) "  # noqa: S608
            "and (? is null or category = ?) and (? is null or target = ?) order by seq",
            (account, category, category, target, target),
        )
        return [_preset(row) for row in rows]

    async def put(self, preset: Preset) -> None:
        """Add `preset`, or replace the one of its id."""
        values = (preset.id, preset.account, preset.name, preset.target, preset.category, preset.scope)

        def write(db: apsw.Connection) -> None:
            db.execute(
                f"insert into presets ({_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?) on conflict (id) do update set "  # noqa: S608
                "name = excluded.name, target = excluded.target, category = excluded.category, "
                "scope = excluded.scope, options = excluded.options",
                (*values, orjson.dumps(preset.options)),
            )

        await self._db.write(write)

    async def remove(self, preset_id: str) -> None:
        await self._db.write(lambda db: db.execute("delete from presets where id = ?", (preset_id,)).fetchall())


def _preset(row: Sequence[Value]) -> Preset:
    *texts, options = row
    preset_id, account, name, target, category, scope = map(str, texts)
    return Preset(
        id=preset_id,
        account=account,
        name=name,
        target=target,
        category=category,
        scope=scope,
        options=orjson.loads(options) if isinstance(options, bytes) else {},
    )
