"""What acts on a run: the items of `apply=`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Iterable, Union

from . import _library, _runs
from ._library import Handle, misuse

if TYPE_CHECKING:
    from .artifacts import Artifact


@dataclass(frozen=True)
class Applied:
    """An artifact and how it is applied; `Artifact.at` makes it."""

    artifact: "Artifact"
    strength: Any = None
    layers: Any = None
    positions: str | None = None


@dataclass(frozen=True)
class Add:
    """Adds strength · direction at a site.

    direction: as many elements as a value of the site, [D] or the shape of the component of the state.
    share: the strength is a share of the value's norm.
    positions: the tokens (`formats/steering.md`); by default the prompt's last token and all after it.
    """

    site: str
    direction: Any
    strength: float = 1
    share: bool = False
    positions: str | None = None


@dataclass(frozen=True)
class Project:
    """Removes a share of the part of the value along a direction. positions: by default all tokens."""

    site: str
    direction: Any
    share: float = 1
    positions: str | None = None


@dataclass(frozen=True)
class Tap:
    """Calls a function at sites; `Model.tap` makes it."""

    sites: tuple[str, ...]
    function: _runs.TapFunction


Item = Union["Artifact", Applied, Add, Project, Tap, str, "os.PathLike[str]"]


class Edits:
    """A list of edits of the library, and what it needs to stay alive."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._kept: list[Any] = []
        self._handle: Handle | None = None
        for item in items:
            self._add(item)

    @property
    def value(self) -> int:
        """The handle; 0 without an item."""
        return self._handle.value if self._handle else 0

    def _add(self, item: Item) -> None:
        from .artifacts import Artifact, load

        if self._handle is None:
            self._handle = Handle("edits_new")
        if isinstance(item, (str, os.PathLike)):
            path, strength = _split(os.fspath(item))
            item = Applied(load(path), strength)
        elif isinstance(item, Artifact):
            item = Applied(item)
        if isinstance(item, Applied):
            _library.call(
                "edits_apply",
                self.value,
                item.artifact._handle.value,
                _library.optional_text(item.strength, "a strength"),
                _library.optional_text(item.layers, "blocks"),
                _library.optional_text(item.positions, "positions"),
            )
        elif isinstance(item, (Add, Project)):
            array, address = _library.floats(item.direction, "a direction")
            site = _library.text(item.site, "the name of a site")
            positions = _library.optional_text(item.positions, "positions")
            if isinstance(item, Add):
                arguments = (float(item.strength), bool(item.share), positions)
                _library.call("edits_add", self.value, site, address, array.size, *arguments)
            else:
                _library.call("edits_project", self.value, site, address, array.size, float(item.share), positions)
        elif isinstance(item, Tap):
            function = _runs.tap_function(item.function)
            self._kept.append(function)
            sites, count = _library.texts(item.sites, "names of sites")
            _library.call("edits_tap", self.value, sites, count, function, None)
        else:
            raise misuse(f"{type(item).__name__} in apply", "artifacts, paths of artifacts, Add, Project or Tap")


def _split(argument: str) -> tuple[str, str | None]:
    """`FILE` or `FILE:STRENGTH`, as the command line writes it."""
    path, colon, strength = argument.rpartition(":")
    return (argument, None) if not colon or os.path.exists(argument) else (path, strength)
