"""Where every key and value of a file stands; parsed only when somebody asks, since that costs more than reading.

The grammars give bytes; people count characters. A tree of nodes comes out that has the shape of the document.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import rtoml
import tree_sitter
import tree_sitter_json
import tree_sitter_toml

from runner.recipe.finding import Span, Steps


@dataclass(kw_only=True, slots=True)
class Node:
    """A value with its key; an element of an array has no key of its own, nor has the root."""

    key: Span
    value: Span
    children: dict[str | int, Node] = field(default_factory=dict)

    def find(self, path: Steps) -> tuple[Node, int]:
        """The node at `path`, or the nearest above it, and how many steps led there.

        A bare value counts as an array of one, as it does to the API.
        """
        node: Node = self
        for depth, step in enumerate(path):
            if step in node.children:
                node = node.children[step]
            elif step != 0 or any(isinstance(key, int) for key in node.children):
                return node, depth
        return node, len(path)


def positions(data: bytes, *, toml: bool) -> Node:
    """The tree of a file that parsed. Never raises; what the grammar can't read is missing from the tree."""
    language = tree_sitter_toml.language() if toml else tree_sitter_json.language()
    tree = tree_sitter.Parser(tree_sitter.Language(language)).parse(data)
    root = tree.root_node
    lines = data.split(b"\n")
    reader = _Toml(lines) if toml else _Json(lines)
    return reader.read(root)


@dataclass(kw_only=True, slots=True)
class _Reader:
    lines: list[bytes]

    def span(self, first: tree_sitter.Node, last: tree_sitter.Node | None = None) -> Span:
        start, end = first.start_point, (last or first).end_point
        return Span(
            line=start.row + 1,
            column=self._column(start.row, start.column),
            end_line=end.row + 1,
            end_column=self._column(end.row, end.column),
        )

    def _column(self, row: int, bytes_before: int) -> int:
        line = self.lines[row] if row < len(self.lines) else b""
        return len(line[:bytes_before].decode(errors="replace")) + 1


class _Json(_Reader):
    def __init__(self, lines: list[bytes]) -> None:
        super().__init__(lines=lines)

    def read(self, root: tree_sitter.Node) -> Node:
        values = [child for child in root.named_children if child.type != "comment"]
        if not values:
            return Node(key=Span(), value=Span())
        return self._value(values[0], Span())

    def _value(self, node: tree_sitter.Node, key: Span) -> Node:
        found = Node(key=key, value=self.span(node))
        if node.type == "object":
            for name, spans, value in self._pairs(node):
                found.children[name] = self._value(value, spans)
        elif node.type == "array":
            for index, value in enumerate(node.named_children):
                found.children[index] = self._value(value, self.span(value))
        return found

    def _pairs(self, node: tree_sitter.Node) -> Iterator[tuple[str, Span, tree_sitter.Node]]:
        for pair in node.named_children:
            key, value = pair.child_by_field_name("key"), pair.child_by_field_name("value")
            if key is not None and value is not None:
                yield str(json.loads(key.text or b'""')), self.span(key), value


class _Toml(_Reader):
    def __init__(self, lines: list[bytes]) -> None:
        super().__init__(lines=lines)

    def read(self, root: tree_sitter.Node) -> Node:
        found = Node(key=Span(), value=self.span(root))
        for child in root.named_children:
            if child.type == "pair":
                self._pair(child, found)
            elif child.type in {"table", "table_array_element"}:
                self._table(child, found)
        return found

    def _table(self, node: tree_sitter.Node, root: Node) -> None:
        header = next((child for child in node.named_children if child.type != "comment"), None)
        if header is None:
            return
        table = self._open(root, self._key(header), into_last=node.type == "table")
        if node.type == "table_array_element":
            span = self.span(header)
            element = Node(key=span, value=span)
            table.children[len(table.children)] = element
            table = element
        for child in node.named_children:
            if child.type == "pair":
                self._pair(child, table)

    def _open(self, node: Node, steps: list[tuple[str, Span]], *, into_last: bool) -> Node:
        """The node of a dotted key, made where it is new; on the way arrays of tables mean their last element."""
        for index, (step, span) in enumerate(steps):
            node = node.children.setdefault(step, Node(key=span, value=span))
            if index < len(steps) - 1 or into_last:
                node = node.children.get(len(node.children) - 1, node)
        return node

    def _pair(self, node: tree_sitter.Node, table: Node) -> None:
        parts = [child for child in node.named_children if child.type != "comment"]
        if len(parts) != 2:
            return
        steps = self._key(parts[0])
        if not steps:
            return
        for step, span in steps[:-1]:
            table = table.children.setdefault(step, Node(key=span, value=span))
        name, span = steps[-1]
        table.children[name] = self._value(parts[1], span)

    def _value(self, node: tree_sitter.Node, key: Span) -> Node:
        found = Node(key=key, value=self.span(node))
        inner = [child for child in node.named_children if child.type != "comment"]
        if node.type == "inline_table":
            for pair in inner:
                self._pair(pair, found)
        elif node.type == "array":
            for index, value in enumerate(inner):
                found.children[index] = self._value(value, self.span(value))
        return found

    def _key(self, node: tree_sitter.Node) -> list[tuple[str, Span]]:
        if node.type == "dotted_key":
            return [part for child in node.named_children for part in self._key(child)]
        text = (node.text or b"").decode(errors="replace")
        name = text if node.type == "bare_key" else next(iter(rtoml.loads(f"{text} = 1")))
        return [(name, self.span(node))]
