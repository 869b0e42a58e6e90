"""Joins symbol graphs into one of what `import Sextant` shows.

The graph of the module Sextant has the types that it re-exports, without the members that extensions in their own modules
declare. Those are taken from the graphs of these modules.

usage: shown_symbols.py FOLDER OUTPUT
"""

import json
import sys
from pathlib import Path

MEMBERSHIP = {"memberOf", "requirementOf", "optionalRequirementOf", "defaultImplementationOf"}


def main(folder: Path, output: Path) -> None:
    graphs = [json.loads(path.read_text()) for path in sorted(folder.glob("*.symbols.json"))]
    shown = json.loads((folder / "Sextant.symbols.json").read_text())
    known = {symbol["identifier"]["precise"] for symbol in shown["symbols"]}
    symbols, links = {}, []
    for graph in graphs:
        symbols |= {symbol["identifier"]["precise"]: symbol for symbol in graph["symbols"]}
        links += graph["relationships"]

    # Members of members are found in later rounds.
    while members := {
        link["source"]
        for link in links
        if link["kind"] in MEMBERSHIP and link["target"] in known and link["source"] in symbols
    } - known:
        known |= members
        shown["symbols"] += [symbols[member] for member in sorted(members)]

    own = {json.dumps(link, sort_keys=True) for link in shown["relationships"]}
    own |= {json.dumps(link, sort_keys=True) for link in links if link["source"] in known}
    shown["relationships"] = [json.loads(link) for link in sorted(own)]
    output.write_text(json.dumps(shown))


main(Path(sys.argv[1]), Path(sys.argv[2]))
