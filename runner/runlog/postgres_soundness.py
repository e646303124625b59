"""Whether the tables in PostgreSQL are as they were made, and may be written by who asks.

What the server stores it checks itself. What it can't know is that somebody restored a part of a backup, switched the
trigger off to repair something, or gave a new user rights on half of the tables.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from runner.runlog.database import Transaction
from runner.runlog.postgres_schema import MIGRATIONS, PARTS, RIGHTS, quoted

# Names of indexes are nobody's business: what an index is on tells whether it does its work.
_THERE = """
SELECT 'table ' || relname FROM pg_class WHERE relnamespace = to_regnamespace(?) AND relkind IN ('r', 'p')
UNION ALL
SELECT 'column ' || relname || '.' || attname || ' ' || format_type(atttypid, atttypmod)
    || CASE WHEN attnotnull THEN ' not null' ELSE '' END
    || CASE WHEN attidentity <> '' THEN ' identity' ELSE '' END
    || COALESCE(' default ' || pg_get_expr(adbin, adrelid), '')
FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE relnamespace = to_regnamespace(?) AND relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped
UNION ALL
SELECT CASE WHEN indisunique THEN 'unique index' ELSE 'index' END || ' on ' || relname
    || substring(pg_get_indexdef(indexrelid) FROM ' USING btree( .*)$')
FROM pg_class JOIN pg_index ON indrelid = pg_class.oid
WHERE relnamespace = to_regnamespace(?) AND indisvalid AND pg_get_indexdef(indexrelid) LIKE '%% USING btree %%'
UNION ALL
SELECT 'trigger ' || tgname || ' on ' || relname
FROM pg_class JOIN pg_trigger ON tgrelid = pg_class.oid
WHERE relnamespace = to_regnamespace(?) AND NOT tgisinternal AND tgenabled IN ('O', 'A')
"""


def unsound(tx: Transaction, schema: str) -> tuple[str, ...]:
    """What is missing or not as it was made, and what this user may not do."""
    there = {str(row[0]) for row in tx.rows(_THERE, (quoted(schema),) * 4)}
    gone = [part for part in PARTS if part not in there]
    tables = {part.removeprefix("table ") for part in gone if part.startswith("table ")}
    told = [f"{part} {_fate(part)}" for part in gone if part.startswith("table ") or _table_of(part) not in tables]
    rights = {table: wanted for table, wanted in RIGHTS.items() if table not in tables}
    return (*told, *_may_not(tx, schema, rights), *_may_not_migrate(tx, schema, rights), *_is_standby(tx))


def may_not_make(tx: Transaction, schema: str) -> tuple[str, ...]:
    """Why this user can't make the tables, where they aren't there yet. An administrator may have made the schema."""
    if tx.rows("SELECT to_regnamespace(?) IS NULL", (quoted(schema),))[0][0]:
        allowed = tx.rows("SELECT has_database_privilege(current_database(), 'CREATE')")[0][0]
        lacking = () if allowed else ("this user may not CREATE a schema in the database",)
    else:
        allowed = tx.rows("SELECT has_schema_privilege(?, 'CREATE')", (schema,))[0][0]
        lacking = () if allowed else (f"this user may not CREATE tables in the schema {schema}",)
    return (*lacking, *_is_standby(tx))


def _table_of(part: str) -> str:
    """ "column money.cap bigint", "index on money (…)", "trigger … on money"."""
    if part.startswith("column "):
        return part.split()[1].partition(".")[0]
    return part.partition(" on ")[2].split()[0]


def _fate(part: str) -> str:
    if part.startswith("table "):
        return "is missing"
    return "is missing or switched off" if part.startswith("trigger ") else "is missing or was changed"


def _may_not_migrate(tx: Transaction, schema: str, tables: Collection[str]) -> Iterator[str]:
    """Why this user can't bring an older log to the format of this runner, where it is one."""
    version = tx.rows("SELECT version FROM format")[0][0] if "format" in tables else len(MIGRATIONS)
    if version < len(MIGRATIONS) and _may_not(tx, schema, {"format": ("UPDATE",)}):
        yield (
            f"it has format {version}, and this user may not give it that of this runner, {len(MIGRATIONS)}: run once "
            "as the user who owns its tables"
        )


def _may_not(tx: Transaction, schema: str, rights: Mapping[str, Sequence[str]]) -> list[str]:
    asked = [(table, right) for table, wanted in rights.items() for right in wanted]
    columns = ", ".join("has_table_privilege(?, ?)" for _ in asked)
    named = [value for table, right in asked for value in (f"{quoted(schema)}.{table}", right)]
    allowed = tx.rows(f"SELECT {columns}", named)[0] if asked else ()
    return [
        f"this user may not {right} on {table}"
        for (table, right), is_so in zip(asked, allowed, strict=True)
        if not is_so
    ]


def _is_standby(tx: Transaction) -> tuple[str, ...]:
    return ("the server is a standby, which can't be written",) if tx.rows("SELECT pg_is_in_recovery()")[0][0] else ()
