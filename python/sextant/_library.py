"""The library for C, `libsextant.so`, through ctypes: errors, handles, and arguments that are checked before they cross."""

from __future__ import annotations

import ctypes
import json
import os
from ctypes import POINTER, byref, c_bool, c_char_p, c_float, c_int, c_int64, c_size_t, c_uint64, c_void_p
from pathlib import Path
from typing import Any, Callable, Sequence

import numpy as np


class SextantError(Exception):
    """What is wrong, and what helps.

    `code` is a stable name such as `file.missing` (`formats/refusal-codes.md` lists them). `message` contains what was found and
    what was expected. `remedy` is what to do.
    """

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(code, message, remedy)
        self.code, self.message, self.remedy = code, message, remedy

    def __str__(self) -> str:
        return f"{self.message}\n  remedy:   {self.remedy}"


def misuse(found: str, expected: str) -> SextantError:
    """The error of an argument that never reaches the library."""
    return SextantError(
        "usage.option",
        f"an option cannot be used in this way [usage.option]\n  found:    {found}\n  expected: {expected}",
        "Correct this argument, or leave it out.",
    )


# The structures of sextant.h


class _Error(ctypes.Structure):
    _fields_ = [("code", c_char_p), ("message", c_char_p), ("remedy", c_char_p)]


class _Array(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("type", c_int), ("rank", c_size_t), ("shape", c_size_t * 8)]


class Visit(ctypes.Structure):
    _fields_ = [
        ("site", c_char_p),
        ("values", c_void_p),
        ("rank", c_size_t),
        ("shape", POINTER(c_size_t)),
        ("position", c_int64),
        ("done", c_bool),
    ]


class Sampling(ctypes.Structure):
    _fields_ = [
        ("count", c_size_t),
        ("temperature", c_float),
        ("top_k", c_size_t),
        ("top_p", c_float),
        ("min_p", c_float),
        ("repetition_penalty", c_float),
        ("seed", c_uint64),
        ("stops", POINTER(c_char_p)),
        ("stop_count", c_size_t),
        ("ignores_end", c_bool),
    ]


class Training(ctypes.Structure):
    _fields_ = [("sites", c_char_p), ("layers", c_char_p), ("method", c_char_p), ("positions", c_char_p)]


PollFunction = ctypes.CFUNCTYPE(c_int, c_void_p)
TapFunction = ctypes.CFUNCTYPE(None, c_void_p, POINTER(Visit))

_handle, _handles, _texts, _text = c_uint64, POINTER(c_uint64), POINTER(c_char_p), POINTER(c_void_p)
_tokens, _floats, _labels = POINTER(c_int64), POINTER(c_float), POINTER(c_bool)
_functions: dict[str, list[Any]] = {
    "build": [_text],
    "close": [_handle],
    "describe": [_handle, _text],
    "values": [_handle, c_char_p, POINTER(_Array)],
    "convert": [c_char_p, c_char_p, c_bool],
    "open": [c_char_p, PollFunction, c_void_p, _handles],
    "encode": [_handle, c_char_p, c_bool, POINTER(_tokens), POINTER(c_size_t)],
    "decode": [_handle, _tokens, c_size_t, _text, POINTER(c_size_t)],
    "read": [_handle, _tokens, c_size_t, _handle, _handle, _handles],
    "record": [_handle, _tokens, c_size_t, _handle, _handle, _texts, c_size_t, c_char_p, c_bool, _handles],
    "state_after": [_handle, _handles],
    "state_set": [_handle, c_char_p, _floats, c_size_t, _handles],
    "state_sum": [_handle, _handles, _floats, c_size_t, _handles],
    "state_save": [_handle, _handle, c_char_p, c_bool],
    "state_load": [_handle, c_char_p, _handles],
    "edits_new": [_handles],
    "edits_apply": [_handle, _handle, c_char_p, c_char_p, c_char_p],
    "edits_add": [_handle, c_char_p, _floats, c_size_t, c_float, c_bool, c_char_p],
    "edits_project": [_handle, c_char_p, _floats, c_size_t, c_float, c_char_p],
    "edits_tap": [_handle, _texts, c_size_t, TapFunction, c_void_p],
    "generate": [_handle, c_char_p, _handle, _handle, POINTER(Sampling), _handles],
    "next": [_handle, _tokens, _text, POINTER(c_size_t), _text],
    "artifact_load": [c_char_p, _handles],
    "artifact_save": [_handle, c_char_p, c_bool],
    "train_vector": [_handle, _texts, _texts, c_size_t, POINTER(Training), _handles],
    "train_probe": [_handle, _texts, _labels, c_size_t, POINTER(Training), _handles],
    "evaluate_probe": [_handle, _handle, _texts, _labels, c_size_t, _text],
    "train_lens": [_handle, _texts, c_size_t, c_char_p, _handles],
    "lens_grid": [_handle, _handle, c_char_p, c_size_t, _text, _text],
}


def native(name: str) -> str:
    """The path of a file of the package that is not Python."""
    return str(Path(__file__).parent / "native" / name)


def _load() -> ctypes.CDLL:
    path = os.environ.get("SEXTANT_LIBRARY", native("libsextant.so"))
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(
            f"{error}\nThe library is a part of the wheel that `make wheel` builds. In a clone, set SEXTANT_LIBRARY to the path of "
            "libsextant.so, which `make library` builds."
        ) from None
    for name, arguments in _functions.items():
        function = getattr(library, f"sextant_{name}")
        function.argtypes, function.restype = arguments, POINTER(_Error)
    library.sextant_error_free.argtypes, library.sextant_error_free.restype = [POINTER(_Error)], None
    library.sextant_free.argtypes, library.sextant_free.restype = [c_void_p], None
    library.sextant_version.argtypes, library.sextant_version.restype = [], c_char_p
    library.sextant_sampling_default.argtypes, library.sextant_sampling_default.restype = [POINTER(Sampling)], None
    return library


library = _load()


def call(name: str, *arguments: Any) -> None:
    """Calls a function; its error becomes an exception."""
    error = getattr(library, f"sextant_{name}")(*arguments)
    if error:
        code, message, remedy = (
            field.decode(errors="replace") for field in (error[0].code, error[0].message, error[0].remedy)
        )
        library.sextant_error_free(error)
        raise SextantError(code, message, remedy)


def build() -> str:
    """The version, the commit, the level of the kernels and OpenBLAS's kernels, one fact per line."""
    place = c_void_p()
    call("build", byref(place))
    return taken_text(place)


# Arguments


def text(value: str | os.PathLike[str], what: str = "a text") -> bytes:
    """UTF-8 without a 0, which would end the text for C."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        raise misuse(f"{type(value).__name__}", f"{what} as str")
    try:
        data = value.encode()
    except UnicodeEncodeError as error:
        raise misuse(f"a text that is not Unicode: {error.reason}", what) from None
    if b"\0" in data:
        raise misuse("a text with the character U+0000", what)
    return data


def optional_text(value: Any, what: str) -> bytes | None:
    """A text, or null for None. Numbers are written, and ranges as `2-4`."""
    if value is None:
        return None
    if isinstance(value, range):
        if not value or value.step != 1:
            raise misuse(repr(value), f"{what} as a range with step 1 that is not empty")
        value = f"{value.start}-{value.stop - 1}"
    elif isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool):
        value = repr(float(value)) if isinstance(value, (float, np.floating)) else str(int(value))
    return text(value, what)


def texts(values: Sequence[str], what: str) -> tuple[Any, int]:
    """An array of texts, and their number."""
    if isinstance(values, str):
        raise misuse("one text", f"a list of {what}")
    data = [text(value, what) for value in values]
    return (c_char_p * len(data))(*data), len(data)


def size(value: int, what: str) -> int:
    """A number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 0 <= value < 1 << 63:
        raise misuse(repr(value), f"{what}: a number from 0")
    return int(value)


def floats(values: Any, what: str) -> tuple[np.ndarray, Any]:
    """Numbers as an array in f32, and its address. The array must stay alive while the address is used."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise misuse(f"an array of {array.dtype}", f"{what} as real numbers")
    array = np.ascontiguousarray(array, dtype=np.float32)
    return array, array.ctypes.data_as(_floats)


def token_ids(values: Any) -> tuple[np.ndarray, Any]:
    """Token ids, [T], and their address."""
    array = np.asarray(values)
    if array.size == 0:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise misuse(f"an array of {array.dtype} with {array.ndim} axes", "token ids as a list of integers")
    if array.dtype == np.uint64 and array.size and array.max() >= 1 << 63:
        raise misuse(f"the id {array.max()}", "token ids of the model")
    array = np.ascontiguousarray(array, dtype=np.int64)
    return array, array.ctypes.data_as(_tokens)


# Results


def taken_text(pointer: c_void_p, length: int | None = None) -> str:
    """The text at an address that the library allocated, which is then freed."""
    data = ctypes.string_at(pointer.value, -1 if length is None else length)
    library.sextant_free(pointer)
    return data.decode()


class Handle:
    """An object of the library, closed when Python no longer needs it."""

    __slots__ = ("value", "__weakref__")

    def __init__(self, make: Callable[..., None] | str, *arguments: Any) -> None:
        place = c_uint64()
        try:
            if isinstance(make, str):
                call(make, *arguments, byref(place))
            else:
                make(*arguments, byref(place))
        finally:  # Ctrl-C may come when the object exists already.
            self.value = place.value

    def close(self) -> None:
        """Closes the object. Whoever uses it later gets `usage.handle`."""
        call("close", self.value)

    def __del__(self) -> None:
        # A handle that is closed already, or the end of the process, is no error.
        if self.value:
            error = library.sextant_close(self.value)
            if error:
                library.sextant_error_free(error)

    def describe(self) -> dict[str, Any]:
        place = c_void_p()
        call("describe", self.value, byref(place))
        return json.loads(taken_text(place))

    def array(self, name: str) -> np.ndarray:
        """A value, without a copy. The array is read-only, and keeps the object open."""
        place = _Array()
        call("values", self.value, text(name, "the name of a value"), byref(place))
        shape = tuple(place.shape[: place.rank])
        return np.asarray(_Memory(place.data, shape, ("<f4", "<f8", "<i8")[place.type], True, self))


class _Memory:
    """Memory of the library, for NumPy."""

    __slots__ = ("__array_interface__", "owner")

    def __init__(self, address: int | None, shape: tuple[int, ...], kind: str, read_only: bool, owner: Any) -> None:
        # NumPy refuses the address 0, also of an array without elements.
        self.__array_interface__ = {
            "version": 3,
            "shape": shape,
            "typestr": kind,
            "data": (address or 1, read_only),
        }
        self.owner = owner


def memory(address: int, shape: tuple[int, ...]) -> np.ndarray:
    """An array in f32 at an address, which is valid only as long as the memory is."""
    return np.asarray(_Memory(address, shape, "<f4", False, None))
