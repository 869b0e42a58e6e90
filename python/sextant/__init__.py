"""Sextant reads and steers language models: Mamba, RWKV and transformers, on the CPU.

    import sextant

    model = sextant.Model("model.sxt")
    seen = model.record("The film was", ["blocks.3.output", "blocks.*.state.ssm"])
    joy = sextant.SteeringVector.load("joy.steer.safetensors")
    for token in model.generate("The film was", apply=[joy.at(2, layers=3)]):
        print(token.text, end="")

Whatever goes wrong raises a `SextantError` with a stable code.
"""

from ._edits import Add, Applied, Project
from ._library import SextantError, build, library as _native
from ._runs import Visit
from .artifacts import Artifact, Eraser, Lens, Probe, ProbeEvaluation, SteeringVector, load
from .model import Generation, LensGrid, Model, Recording, SiteDescription, State, Token, convert, demo_model

__version__ = _native.sextant_version().decode()

__all__ = [
    "Add",
    "Applied",
    "Artifact",
    "Eraser",
    "Generation",
    "Lens",
    "LensGrid",
    "Model",
    "Probe",
    "ProbeEvaluation",
    "Project",
    "Recording",
    "SextantError",
    "SiteDescription",
    "State",
    "SteeringVector",
    "Token",
    "Visit",
    "build",
    "convert",
    "demo_model",
    "load",
]
