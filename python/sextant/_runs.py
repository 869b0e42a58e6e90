"""Calls that run a model: Ctrl-C ends them, and functions of Python may edit values while they run.

While the library runs, Python cannot act on Ctrl-C. The library therefore asks a function of this module about ten times per second
whether to go on. An exception must not leave a function that C calls. So Ctrl-C is only noted there, and acted on after the call.
"""

from __future__ import annotations

import ctypes
import signal
import threading
from typing import Any, Callable, NamedTuple

import numpy as np

from . import _library
from ._library import SextantError, misuse


class _Thread(threading.local):
    """The innermost call of this thread."""

    call: Running | None = None


_thread = _Thread()


class Running:
    """A call into the library that may take long."""

    def __init__(self) -> None:
        self._is_interrupted = False
        self._failure: BaseException | None = None
        self._handler: Any = None

    def __enter__(self) -> Running:
        self._outer, _thread.call = _thread.call, self
        # Python runs the handlers of signals in its main thread.
        if threading.current_thread() is threading.main_thread():
            handler = signal.getsignal(signal.SIGINT)
            if callable(handler):
                self._handler = handler
                signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number: int, frame: Any) -> None:
        self._is_interrupted = True

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        _thread.call = self._outer
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
            if self._is_interrupted:
                self._handler(signal.SIGINT, None)
        if self._failure is not None:
            raise self._failure from None

    @property
    def is_stopped(self) -> bool:
        return self._is_interrupted or self._failure is not None

    def visit(self, body: Callable[[], None]) -> bool:
        """Calls a function of the user, in which Ctrl-C acts as usual. Its exception ends the call; whether there was none."""
        try:
            if self._handler is not None:
                signal.signal(signal.SIGINT, self._handler)
            body()
        except BaseException as error:  # It is raised again at the end of the call.
            self._failure = error
        finally:
            if self._handler is not None:
                signal.signal(signal.SIGINT, self._note)
        return not self.is_stopped


@_library.PollFunction
def poll(_context: Any) -> int:
    """Whether the call that runs in this thread is to end."""
    call = _thread.call
    return int(call is not None and call.is_stopped)


class Visit(NamedTuple):
    """Where a tap is called."""

    site: str
    """The name of the site."""
    positions: range
    """The positions of the tokens in the text, T of them. At a component of the state, the token that reads it next."""


TapFunction = Callable[[np.ndarray, Visit], "np.ndarray | None"]


def tap_function(function: TapFunction) -> Any:
    """A function for C that calls one of Python."""

    def call(_context: Any, pointer: Any) -> None:
        running = _thread.call
        if running is None:
            return

        def body() -> None:
            visit = pointer[0]
            shape = tuple(visit.shape[: visit.rank])
            values = _library.memory(visit.values, shape)
            site = visit.site.decode()
            tokens = 1 if ".state." in site else shape[0]
            # The function may keep the array, and the memory of the library is gone after the call.
            own = values.copy()
            result = function(own, Visit(site, range(visit.position, visit.position + tokens)))
            values[...] = own if result is None else _edited(result, shape, site)

        pointer[0].done = running.visit(body)

    return _library.TapFunction(call)


def _edited(result: Any, shape: tuple[int, ...], site: str) -> np.ndarray:
    """What a tap returned, if it has the shape of the value."""
    array = np.asarray(result)
    if array.dtype.kind not in "fiu":
        raise misuse(f"a tap at {site} that returns an array of {array.dtype}", "real numbers, or None")
    if array.shape != shape:
        raise SextantError(
            "model.state",
            f"a state of another model, batch or shape [model.state]\n  found:    a tap at {site} that returns {list(array.shape)}"
            f"\n  expected: {list(shape)}, or None",
            "Return an array of the same shape, or edit the array in place.",
        )
    return array


def call(name: str, *arguments: Any) -> None:
    """As `_library.call`, for functions that run a model."""
    with Running():
        _library.call(name, *arguments)
