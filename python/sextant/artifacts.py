"""What is learned from a model: steering vectors, probes, lenses, erasers. Each is a file of safetensors."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from ctypes import byref, c_bool, c_void_p
from typing import Any, Iterator, Sequence, TypeVar

import numpy as np

from . import _html, _library, _runs
from ._edits import Applied
from ._library import Handle, SextantError, misuse
from .model import Model

Self = TypeVar("Self", bound="Artifact")


def load(path: str | os.PathLike[str]) -> Artifact:
    """Reads an artifact of any kind. Everything in the file is checked."""
    handle = Handle("artifact_load", _library.text(path, "the path of an artifact"))
    kind = handle.describe()["kind"]
    return next((own for own in Artifact.__subclasses__() if own.kind == kind), Artifact)(handle)


class Artifact(Mapping[str, np.ndarray]):
    """A file that was learned from a model: its tensors by name, read-only and without a copy."""

    kind = ""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        description = handle.describe()
        self.sites: list[str] = description["sites"]
        """The names of the sites that it belongs to."""
        self.details: dict[str, Any] = description["details"]
        """What its kind adds to the manifest (`formats/`): data, method, positions, statistics."""
        self._tensors: list[str] = description["tensors"]
        self._kind: str = description["kind"]

    @classmethod
    def load(cls: type[Self], path: str | os.PathLike[str]) -> Self:
        """Reads a file of this kind."""
        artifact = load(path)
        if not isinstance(artifact, cls):
            raise SextantError(
                "artifact.kind",
                f"{os.fspath(path)}: an artifact kind that does not fit here [artifact.kind]\n  found:    {artifact._kind}"
                f"\n  expected: {cls.kind}",
                "Use the class of this kind, or sextant.load.",
            )
        return artifact

    def save(self, path: str | os.PathLike[str], replace: bool = False) -> None:
        """Writes the file, which any reader of safetensors can open."""
        _library.call("artifact_save", self._handle.value, _library.text(path, "a path"), bool(replace))

    def at(self, strength: Any = None, *, layers: Any = None, positions: str | None = None) -> Applied:
        """The artifact as an item of `apply`.

        strength: a number, or a text such as "10%", "0.1nats" or "3=1.5,5-7=0.5". layers: blocks, such as 3, range(2, 5) or "2-4".
        positions: the tokens, such as "last" or "all" (`formats/steering.md`). None: the artifact's own.
        """
        return Applied(self, strength, layers, positions)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._tensors:
            raise KeyError(name)
        return self._handle.array(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __repr__(self) -> str:
        return f"<sextant.{type(self).__name__} of {len(self.sites)} sites>"

    def _repr_html_(self) -> str:
        rows = [(name, list(values.shape), f"{np.linalg.norm(values):.4g}") for name, values in self.items()]
        return _html.table(repr(self), ("tensor", "shape", "norm"), rows)


def _training(sites: str | Sequence[str], layers: Any, method: Any, positions: Any) -> _library.Training:
    names = sites if isinstance(sites, str) else ",".join(sites)
    return _library.Training(
        _library.text(names, "sites"),
        _library.optional_text(layers, "blocks"),
        _library.optional_text(method, "a method"),
        _library.optional_text(positions, "positions"),
    )


def _labelled(texts: Sequence[str], labels: Sequence[bool]) -> tuple[Any, Any, int]:
    pointers, count = _library.texts(texts, "texts")
    values = [bool(label) for label in labels]
    if len(values) != count:
        raise misuse(f"{len(values)} labels for {count} texts", "a label for each text")
    return pointers, (c_bool * count)(*values), count


class SteeringVector(Artifact):
    """Directions by the names of sites: [D] in the residual stream, or the shape of the component of the state."""

    kind = "steering"

    @classmethod
    def train(
        cls,
        model: Model,
        pairs: Sequence[tuple[str, str]],
        sites: str | Sequence[str] = "residual",
        *,
        layers: Any = None,
        method: str = "mean",
        positions: str = "last",
    ) -> SteeringVector:
        """Learns a vector from pairs of a positive and a negative text, as `sextant steer train` does.

        sites, layers: as for `Model.record`. method: mean, lda, lda-total, lda-diagonal, pca or pca-centered.
        positions: the tokens that are read.
        """
        split = [(positive, negative) for positive, negative in pairs]
        positive, count = _library.texts([pair[0] for pair in split], "texts")
        negative, _ = _library.texts([pair[1] for pair in split], "texts")
        training = _training(sites, layers, method, positions)
        arguments = (model._handle.value, positive, negative, count, byref(training))
        return cls(Handle(_runs.call, "train_vector", *arguments))


class Probe(Artifact):
    """Linear probes, which read a label from the residual stream or the state."""

    kind = "probe"

    @classmethod
    def train(
        cls,
        model: Model,
        texts: Sequence[str],
        labels: Sequence[bool],
        sites: str | Sequence[str] = "residual",
        *,
        layers: Any = None,
        method: str = "lr,mean-diff,lda",
        positions: str = "last",
    ) -> Probe:
        """Learns probes from texts with labels, as `sextant probe train` does: one for each site and method."""
        pointers, values, count = _labelled(texts, labels)
        training = _training(sites, layers, method, positions)
        return cls(Handle(_runs.call, "train_probe", model._handle.value, pointers, values, count, byref(training)))

    def evaluate(self, model: Model, texts: Sequence[str], labels: Sequence[bool]) -> ProbeEvaluation:
        """How well the probes read the label, as `sextant probe eval` measures it. Measure on other texts than in training."""
        pointers, values, count = _labelled(texts, labels)
        place = c_void_p()
        _runs.call("evaluate_probe", model._handle.value, self._handle.value, pointers, values, count, byref(place))
        return ProbeEvaluation(json.loads(_library.taken_text(place)))


class ProbeEvaluation:
    """Figures of probes. `json` is the report of `sextant probe eval --json`; `rows` has one dict for each probe."""

    def __init__(self, report: dict[str, Any]) -> None:
        self.json = report
        self.rows: list[dict[str, Any]] = report["rows"]

    def __repr__(self) -> str:
        return "\n".join(
            f"{row['name']}: AUROC {_figure(row['auroc'])}, accuracy {_figure(row['accuracy'])}" for row in self.rows
        )

    def _repr_html_(self) -> str:
        rows = [(row["name"], _figure(row["auroc"]), _figure(row["accuracy"])) for row in self.rows]
        return _html.table("Probes", ("probe", "AUROC", "accuracy"), rows)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


class Lens(Artifact):
    """Translations of the residual stream of each block to the model's own prediction."""

    kind = "lens"

    @classmethod
    def train(cls, model: Model, texts: Sequence[str], method: str = "ridge") -> Lens:
        """Learns a lens from texts, as `sextant lens train` does. method: ridge or tuned."""
        pointers, count = _library.texts(texts, "texts")
        arguments = (model._handle.value, pointers, count, _library.text(method, "a method"))
        return cls(Handle(_runs.call, "train_lens", *arguments))


class Eraser(Artifact):
    """A projection after which no linear probe finds a label. `sextant probe erase` trains it."""

    kind = "eraser"
