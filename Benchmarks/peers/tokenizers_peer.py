"""Encodes lines with the `tokenizers` package, for timings that are compared with Sextant's.

    python tokenizers_peer.py TOKENIZER.json LINES.jsonl

Encodes all lines once for each line on standard input, in one thread, and answers with one JSON object:
`seconds` by the clock, `processor_seconds`, and `ids`, the number of ids.
"""

import json
import os
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"

from pathlib import Path

from tokenizers import Tokenizer


def main() -> None:
    tokenizer = Tokenizer.from_file(sys.argv[1])
    lines = [json.loads(line) for line in Path(sys.argv[2]).read_text("utf-8").splitlines()]
    for _ in sys.stdin:
        clock, processor = time.perf_counter(), time.process_time()
        # The fast form leaves out the places of ids in the text, which Sextant does not compute either.
        found = tokenizer.encode_batch_fast(lines, add_special_tokens=False)
        answer = {
            "seconds": time.perf_counter() - clock,
            "processor_seconds": time.process_time() - processor,
            "ids": sum(len(encoding) for encoding in found),
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
