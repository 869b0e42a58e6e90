"""A reader of Sextant artifacts (formats/artifact.md): checks every digest and prints what is in the file.

    python read_artifact.py vector.steer.safetensors
"""

import hashlib
import json
import sys

from safetensors import safe_open
from safetensors.numpy import load_file


def read(path):
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata() or {}
    if sorted(metadata) != ["sextant", "sextant.sha256"]:
        raise ValueError("no artifact")
    text = metadata["sextant"]
    if hashlib.sha256(text.encode()).hexdigest() != metadata["sextant.sha256"]:
        raise ValueError("the manifest does not match its digest")
    manifest = json.loads(text)
    if (manifest["format"], manifest["version"], manifest["requires"]) != ("sextant-artifact", 1, []):
        raise ValueError("another format or version")
    tensors = load_file(path)
    digests = {name: hashlib.sha256(value.tobytes()).hexdigest() for name, value in tensors.items()}
    if digests != manifest["tensors"]:
        raise ValueError("a tensor does not match its digest")
    return manifest, tensors


if __name__ == "__main__":
    manifest, tensors = read(sys.argv[1])
    print(json.dumps({key: value for key, value in manifest.items() if key != "tensors"}, indent=2))
    for name, value in tensors.items():
        print(name, value.dtype, list(value.shape))
