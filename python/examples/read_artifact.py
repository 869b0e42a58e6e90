"""Read a steering vector without Sextant. It is a file of safetensors, joy.steer.safetensors here."""

import json

from safetensors import safe_open

with safe_open("joy.steer.safetensors", "numpy") as file:
    manifest = json.loads(file.metadata()["sextant"])
    print(manifest["kind"], "for", manifest["model"]["architecture"], "by", manifest["method"])
    for site in file.keys():
        print(site, file.get_tensor(site).shape)
