"""The families of converters, one line each. A new one is a module, a line here, and a test."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from runner.server.converters import document_targets, image_targets
from runner.server.converters.protocol import Converter, Guards, Product, Request, Source, Target

_FACTS = "runner.server.converters.image_facts"


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """A converter whose code lies in `module` and is loaded when first needed: in a worker, not in the server."""

    name: str
    targets: tuple[Target, ...]
    module: str
    programs: tuple[str, ...] = ()

    def load(self) -> None:
        """Import the module, so that a fork of this process has it."""
        importlib.import_module(self.module)
        importlib.import_module(_FACTS)

    def facts(self, source: Source, guards: Guards) -> Mapping[str, str]:
        """What is known of a source that was converted."""
        describe: Callable[[Source, Guards], Mapping[str, str]] = importlib.import_module(_FACTS).facts_of
        return describe(source, guards)

    def convert(self, request: Request) -> list[Product]:
        convert: Callable[[Request], list[Product]] = importlib.import_module(self.module).convert
        return convert(request)


CONVERTERS: tuple[Converter, ...] = (
    Family(name="images", targets=image_targets.PICTURES, module="runner.server.converters.images"),
    Family(name="documents", targets=document_targets.DOCUMENTS, module="runner.server.converters.documents"),
    Family(
        name="image-operations",
        targets=image_targets.OPERATIONS,
        module="runner.server.converters.image_operations",
    ),
)
