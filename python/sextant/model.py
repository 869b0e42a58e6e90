"""Models, and what comes out of them: recordings, states, generated texts."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from ctypes import byref, c_float, c_int64, c_size_t, c_uint64, c_void_p, POINTER
from pathlib import Path
from typing import Any, Iterator, NamedTuple, Sequence, Union

import numpy as np

from . import _html, _library, _runs
from ._edits import Edits, Item, Tap
from ._library import Handle, SextantError, misuse

Text = Union[str, Sequence[int], np.ndarray]
"""A text, or token ids, [T]."""


class SiteDescription(NamedTuple):
    """A site of a model (`formats/sites.md`)."""

    name: str
    shape: tuple[int, ...]
    """The shape of the value of one token, or of the component of the state."""
    axes: tuple[str, ...]
    grows: bool
    """Whether the component has a value of this shape for each token, as keys and values do."""
    read_only: bool


class Token(NamedTuple):
    """A token of a generated text."""

    id: int
    text: str
    """What the token adds to the text."""
    edits: list[dict[str, Any]]
    """What was edited when the token was read: the site, and the norms `before` and `after`."""
    reports: list[dict[str, Any]]
    """The reports of probes and lenses of `apply`: `item`, the place in the list, and `report`."""


def convert(checkpoint: str | os.PathLike[str], path: str | os.PathLike[str], replace: bool = False) -> Model:
    """Converts a checkpoint to a model file, and opens it.

    checkpoint: a folder in Hugging Face layout, or a .safetensors, .pth, .h5, .npz or .gguf file. The configuration and the tokenizer
    are read from the files beside it.
    """
    reader = _library.native("sextant-hdf5")
    if os.path.exists(reader):
        os.environ.setdefault("SEXTANT_HDF5", reader)  # The program that reads HDF5, which is in the wheel.
    _library.call(
        "convert",
        _library.text(checkpoint, "the path of a checkpoint"),
        _library.text(path, "the path of the model file"),
        bool(replace),
    )
    return Model(path)


def demo_model() -> str:
    """The folder of the small Mamba that is in the wheel, for `convert`. It was trained on film reviews."""
    return str(Path(__file__).parent / "demo")


class Model:
    """A model that is ready to run, and its tokenizer.

    The weights are mapped, not read, so that opening takes milliseconds. Several threads may use one model at the same time. Ctrl-C
    ends a call after the current block of the model.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._handle = Handle("open", _library.text(path, "the path of a model file"), _runs.poll, None)
        self._taps = threading.local()
        description = self._handle.describe()
        self.path = os.fspath(path)
        self.architecture: str = description["architecture"]
        """The name of the architecture, such as `mamba`."""
        self.identity: str = description["identity"]
        """The SHA-256 of the settings and the original weights, which artifacts record."""
        self.width: int = description["width"]
        """D, the width of the residual stream."""
        self.layers: int = description["layers"]
        """The number of blocks, which are counted from 0."""
        self.vocabulary: int = description["vocabulary"]
        """V, the number of rows of the embedding."""
        self.sites = [
            SiteDescription(
                site["site"], tuple(site["shape"]), tuple(site["axes"]), site["grows"], site["read_only"]
            )
            for site in description["sites"]
        ]
        """Every site, in the order in which a run visits them."""

    def __repr__(self) -> str:
        return f"<sextant.Model {self.path}: {self.architecture}, {self.layers} blocks of width {self.width}>"

    def _repr_html_(self) -> str:
        rows = [(site.name, list(site.shape), ", ".join(site.axes)) for site in self.sites]
        return _html.table(repr(self), ("site", "shape", "axes"), rows)

    def close(self) -> None:
        """Closes the file. Recordings and states stay."""
        self._handle.close()

    # Tokens

    def encode(self, text: str, continues: bool = False) -> np.ndarray:
        """The ids of a text, [T]. continues: without the tokens that begin a text."""
        place, count = POINTER(c_int64)(), c_size_t()
        _library.call("encode", self._handle.value, _library.text(text), bool(continues), byref(place), byref(count))
        ids = np.array(place[: count.value], dtype=np.int64)
        _library.library.sextant_free(place)
        return ids

    def decode(self, tokens: Sequence[int] | np.ndarray) -> str:
        """The text of ids, [T]."""
        ids, address = _library.token_ids(tokens)
        place, length = c_void_p(), c_size_t()
        _library.call("decode", self._handle.value, address, ids.size, byref(place), byref(length))
        return _library.taken_text(place, length.value)

    def _ids(self, text: Text, start: State | None) -> np.ndarray:
        return self.encode(text, start is not None) if isinstance(text, str) else text  # type: ignore[return-value]

    # Runs

    def record(
        self,
        text: Text,
        sites: str | Sequence[str],
        *,
        layers: Any = None,
        each: bool = False,
        apply: Iterable[Item] = (),
        start: State | None = None,
    ) -> Recording:
        """The values at some sites while the model reads a text.

        sites: names of sites, names with `*` for every block, `residual` (the output of every block), `state` or `all`.
        layers: the blocks to keep, such as 3, range(2, 5) or "2-4".
        each: states after each token, with the axis of tokens first. Otherwise the state after the last token.
        apply: what acts on the run; values are recorded after the edits.
        start: the state to start from; None for the beginning of a text.

        For T tokens: [T, D] in the residual stream, [T, V] at `logits`, the component's shape for a state.
        """
        ids, address = _library.token_ids(self._ids(text, start))
        names, count = _library.texts([sites] if isinstance(sites, str) else sites, "names of sites")
        edits = self._edits(apply)
        handle = Handle(
            _runs.call,
            "record",
            self._handle.value,
            address,
            ids.size,
            _state_value(start),
            edits.value,
            names,
            count,
            _library.optional_text(layers, "blocks"),
            bool(each),
        )
        return Recording(handle, self)

    def read(self, text: Text, *, apply: Iterable[Item] = (), start: State | None = None) -> State:
        """The state after a text. `apply` and `start` as for `record`."""
        ids, address = _library.token_ids(self._ids(text, start))
        edits = self._edits(apply)
        arguments = (self._handle.value, address, ids.size, _state_value(start), edits.value)
        return State(Handle(_runs.call, "read", *arguments), self)

    def generate(
        self,
        prompt: str,
        *,
        count: int = 64,
        temperature: float = 0.8,
        top_k: int = 0,
        top_p: float = 1,
        min_p: float = 0,
        repetition_penalty: float = 1,
        seed: int = 0,
        stops: Sequence[str] = (),
        ignore_end: bool = False,
        apply: Iterable[Item] = (),
        start: State | None = None,
    ) -> Generation:
        """Continues a prompt: an iterator of tokens, each computed when it is asked for.

        The defaults are those of `sextant generate`, and the same seed makes the same text.

        count: tokens at most. temperature: 0 takes the most probable token. stops: texts that end the text before them.
        ignore_end: go on after the token that ends a text. apply, start: as for `record`.
        """
        stop_texts, stop_count = _library.texts(stops, "texts to stop at")
        sampling = _library.Sampling(
            _library.size(count, "count"),
            temperature,
            _library.size(top_k, "top_k"),
            top_p,
            min_p,
            repetition_penalty,
            _seed(seed),
            stop_texts,
            stop_count,
            bool(ignore_end),
        )
        edits = self._edits(apply)
        prompt_bytes = _library.text(prompt, "a prompt")
        arguments = (self._handle.value, prompt_bytes, _state_value(start), edits.value, byref(sampling))
        return Generation(Handle(_runs.call, "generate", *arguments), self, edits)

    @contextmanager
    def tap(self, sites: str | Sequence[str], function: _runs.TapFunction) -> Iterator[None]:
        """Calls a function at some sites of every run of this model in this thread, inside a `with` block.

        function(values, visit) gets the value and the place (`Visit`), and may edit the array or return another one. The value is
        [T, D] of T tokens in the residual stream (the prompt in pieces of at most 512, or one token), [1, V] of the logits, and
        [1, …] of a component of the state, which the next token reads. An exception of the function ends the run.

        The texts of `generate` that were started inside the block keep the tap. Taps act after the items of `apply`.
        """
        if not callable(function):
            raise misuse(f"{type(function).__name__}", "a function of the values and the visit")
        item = Tap((sites,) if isinstance(sites, str) else tuple(sites), function)
        before = getattr(self._taps, "items", ())
        self._taps.items = (*before, item)
        try:
            yield
        finally:
            self._taps.items = before

    def _edits(self, apply: Iterable[Item]) -> Edits:
        # One item is as good as a list of one. An artifact maps names to arrays, and is one item.
        is_list = isinstance(apply, Iterable) and not isinstance(apply, (str, Mapping))
        return Edits([*(apply if is_list else [apply]), *getattr(self._taps, "items", ())])

    def load_state(self, path: str | os.PathLike[str]) -> State:
        """A state that this model saved."""
        return State(Handle("state_load", self._handle.value, _library.text(path, "a path")), self)

    def lens(self, text: str, lens: Any = None, guesses: int = 10) -> LensGrid:
        """The prediction of each block after each token of a text. lens: a `Lens`; None for the logit lens."""
        if lens is not None and not isinstance(lens, Mapping):
            raise misuse(type(lens).__name__, "a Lens, or None")
        grid, page = c_void_p(), c_void_p()
        _runs.call(
            "lens_grid",
            self._handle.value,
            0 if lens is None else lens._handle.value,
            _library.text(text),
            _library.size(guesses, "guesses"),
            byref(grid),
            byref(page),
        )
        return LensGrid(json.loads(_library.taken_text(grid)), _library.taken_text(page))


def _state_value(state: State | None) -> int:
    if state is None:
        return 0
    if not isinstance(state, State):
        raise misuse(type(state).__name__, "a State, or None")
    return state._handle.value


def _seed(value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 0 <= value < 1 << 64:
        raise misuse(repr(value), "seed: a number from 0 to 2**64 - 1")
    return int(value)


class Recording(Mapping[str, np.ndarray]):
    """The values of some sites, by the names of the sites.

    The arrays are read-only and are not copied. They stay valid after the recording and the model are gone.
    """

    def __init__(self, handle: Handle, model: Model) -> None:
        self._handle, self._model = handle, model
        description = handle.describe()
        self.tokens = np.array(description["tokens"], dtype=np.int64)
        """The ids that were read, [T]."""
        self.pieces: list[str] = description["pieces"]
        """What each token adds to the text."""
        self._sites: list[str] = description["sites"]

    @property
    def state(self) -> State:
        """The state after the last token."""
        return State(Handle("state_after", self._handle.value), self._model)

    def __getitem__(self, site: str) -> np.ndarray:
        if site not in self._sites:
            raise KeyError(site)
        return self._handle.array(site)

    def __iter__(self) -> Iterator[str]:
        return iter(self._sites)

    def __len__(self) -> int:
        return len(self._sites)

    def __repr__(self) -> str:
        return f"<sextant.Recording of {len(self.tokens)} tokens at {len(self)} sites>"

    def _repr_html_(self) -> str:
        rows = [(site, list(values.shape), f"{np.linalg.norm(values):.4g}") for site, values in self.items()]
        return _html.table(repr(self), ("site", "shape", "norm"), rows)


class State:
    """What a model remembers of the tokens that it has read.

    `state[site]` is a component, read-only and without a copy; `state[site] = values` replaces it. States can be added and subtracted,
    and multiplied by numbers: `start + 0.5 * (happy - sad)`. The position is that of the first state. RWKV-4's sums are brought to one
    exponent first (`formats/state.md`).
    """

    def __init__(self, handle: Handle, model: Model) -> None:
        self._handle, self._model = handle, model

    @property
    def position(self) -> int:
        """The number of tokens that were read."""
        return self._handle.describe()["position"]

    @property
    def sites(self) -> list[str]:
        """The names of the components."""
        return self._handle.describe()["sites"]

    def fork(self) -> State:
        """A state of its own with the same values. Nothing is copied until one of the two changes."""
        return State(self._handle, self._model)

    def save(self, path: str | os.PathLike[str], replace: bool = False) -> None:
        """Writes a file that `Model.load_state` and `sextant generate --load-state` read."""
        arguments = (self._model._handle.value, self._handle.value, _library.text(path, "a path"), bool(replace))
        _library.call("state_save", *arguments)

    def __getitem__(self, site: str) -> np.ndarray:
        return self._handle.array(site)

    def __setitem__(self, site: str, values: Any) -> None:
        array, address = _library.floats(values, f"the values of {site}")
        shape = self[site].shape
        if array.shape != shape:
            raise SextantError(
                "model.state",
                f"a state of another model, batch or shape [model.state]\n  found:    {site} of shape {list(array.shape)}"
                f"\n  expected: {list(shape)}",
                "Give values of the shape of the component.",
            )
        name = _library.text(site, "the name of a component")
        self._handle = Handle("state_set", self._handle.value, name, address, array.size)

    @staticmethod
    def _sum(terms: Sequence[tuple[State, float]]) -> State:
        model = terms[0][0]._model
        states = (c_uint64 * len(terms))(*(state._handle.value for state, _ in terms))
        factors = (c_float * len(terms))(*(factor for _, factor in terms))
        return State(Handle("state_sum", model._handle.value, states, factors, len(terms)), model)

    def __add__(self, other: State) -> State:
        return State._sum([(self, 1), (other, 1)]) if isinstance(other, State) else NotImplemented

    def __sub__(self, other: State) -> State:
        return State._sum([(self, 1), (other, -1)]) if isinstance(other, State) else NotImplemented

    def __mul__(self, factor: float) -> State:
        is_number = isinstance(factor, (int, float, np.integer, np.floating))
        return State._sum([(self, float(factor))]) if is_number else NotImplemented

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> State:
        return self * (1 / divisor)

    def __neg__(self) -> State:
        return self * -1

    def __repr__(self) -> str:
        return f"<sextant.State after {self.position} tokens>"

    def _repr_html_(self) -> str:
        rows = [(site, list(self[site].shape), f"{np.linalg.norm(self[site]):.4g}") for site in self.sites]
        return _html.table(repr(self), ("component", "shape", "norm"), rows)


class Generation(Iterator[Token]):
    """A text while it is generated: an iterator of its tokens. One thread at a time may use it."""

    def __init__(self, handle: Handle, model: Model, edits: Edits) -> None:
        self._handle, self._model, self._edits = handle, model, edits
        self._has_records = edits.value != 0

    def __next__(self) -> Token:
        token, place, length, record = c_int64(), c_void_p(), c_size_t(), c_void_p()
        _runs.call(
            "next",
            self._handle.value,
            byref(token),
            byref(place),
            byref(length),
            byref(record) if self._has_records else None,
        )
        text = _library.taken_text(place, length.value)
        details = json.loads(_library.taken_text(record)) if self._has_records else {}
        if token.value < 0:
            raise StopIteration
        return Token(token.value, text, details.get("edits", []), details.get("reports", []))

    def text(self) -> str:
        """Generates the rest, and returns the whole text without the prompt."""
        for _ in self:
            pass
        return self._handle.describe()["text"]

    @property
    def tokens(self) -> list[int]:
        """The ids so far, without the prompt."""
        return self._handle.describe()["tokens"]

    @property
    def ending(self) -> str | None:
        """Why the text ended: `count`, `endOfText`, `stopText` or `intervention`. None while it continues."""
        return self._handle.describe()["ending"]

    @property
    def edits(self) -> list[dict[str, Any]]:
        """What each editing item of `apply` did so far: item, sites, positions, strength."""
        return self._handle.describe()["edits"]

    @property
    def state(self) -> State:
        """The state that has read everything so far."""
        return State(Handle("state_after", self._handle.value), self._model)

    def __repr__(self) -> str:
        return f"<sextant.Generation of {len(self.tokens)} tokens so far>"

    def _repr_html_(self) -> str:
        return _html.paragraph(self._handle.describe()["text"])


class LensGrid:
    """The predictions of each block after each token. `json` has the numbers, and `html` an interactive page."""

    def __init__(self, grid: dict[str, Any], page: str) -> None:
        self.json, self.html = grid, page

    def __repr__(self) -> str:
        return f"<sextant.LensGrid of {len(self.json['tokens'])} tokens>"

    def _repr_html_(self) -> str:
        return _html.frame(self.html)
