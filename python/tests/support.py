"""What the tests share: the demo model, the command line, and a reader of safetensors."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np

import sextant

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "fixtures"
COMMAND = os.environ["SEXTANT_COMMAND"]
FOLDER = Path(tempfile.mkdtemp(prefix="sextant-python-"))
PROMPT = "The film was"
PAIRS = [(f"The {noun} was superb.", f"The {noun} was boring.") for noun in ("film", "acting", "story", "music", "ending", "cast")]
TEXTS = [f"I {verb} the {noun}." for noun in ("film", "acting", "story", "music", "ending", "cast") for verb in ("loved", "hated")]
LABELS = [index % 2 == 0 for index in range(len(TEXTS))]

_models: dict[str, sextant.Model] = {}


def model(name: str = "demo-model") -> sextant.Model:
    """A model of fixtures/, converted once."""
    if name not in _models:
        _models[name] = sextant.convert(FIXTURES / name, FOLDER / f"{len(_models)}.sxt")
    return _models[name]


def command(*arguments: object) -> str:
    """What the command line writes."""
    run = subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True)
    if run.returncode != 0:
        raise AssertionError(run.stderr)
    return run.stdout


def safetensors(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a file, read without Sextant."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    kinds = {"F32": "<f4", "F64": "<f8", "I64": "<i8"}
    return {
        name: np.frombuffer(data[start + entry["data_offsets"][0] : start + entry["data_offsets"][1]], kinds[entry["dtype"]]).reshape(
            entry["shape"]
        )
        for name, entry in json.loads(data[8:start]).items()
        if name != "__metadata__"
    }
