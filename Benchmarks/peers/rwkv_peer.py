"""Runs an RWKV model with the `rwkv` package on the CPU, for timings that are compared with Sextant's.

Uses the protocol of `transformers_peer.py`; reads a state dict in the original naming (`.pth`). The package
reads one sequence at a time.
"""

import argparse
import json
import os
import sys
import time


class Stopwatch:
    """The time since it was made, by the clock and on the processors."""

    def __init__(self):
        self.clock, self.processor = time.perf_counter(), time.process_time()

    def answer(self, last):
        return {
            "seconds": time.perf_counter() - self.clock,
            "processor_seconds": time.process_time() - self.processor,
            "last": last,
        }


class Peer:
    def __init__(self, path, version, strategy, threads):
        os.environ["RWKV_JIT_ON"] = "1"
        os.environ["RWKV_CUDA_ON"] = "0"
        os.environ["RWKV_V7_ON"] = "1" if version == 7 else "0"
        import torch
        from rwkv.model import RWKV

        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        begin = time.perf_counter()
        # The package adds the ending itself.
        self.model = RWKV(model=path.removesuffix(".pth"), strategy=strategy)
        self.vocabulary = torch.load(path, mmap=True, weights_only=True)["emb.weight"].shape[0]
        self.ready = {"load_seconds": time.perf_counter() - begin, "torch": torch.__version__}

    def prompt(self, count):
        return [(7 * i + 1) % self.vocabulary for i in range(count)]

    def prefill(self, tokens):
        ids = self.prompt(tokens)
        watch = Stopwatch()
        logits, _ = self.model.forward(ids, None)
        return watch.answer([int(logits.argmax())])

    def decode(self, tokens, batch, prompt):
        if batch != 1:
            raise SystemExit("one sequence at a time")
        logits, state = self.model.forward(self.prompt(prompt), None)
        last = int(logits.argmax())
        watch = Stopwatch()
        for _ in range(tokens):
            logits, state = self.model.forward([last], state)
            last = int(logits.argmax())
        return watch.answer([last])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("path", help="a state dict, .pth")
    parser.add_argument("--version", type=int, choices=[4, 5, 6, 7], required=True)
    parser.add_argument("--strategy", default="cpu fp32")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    # Output that libraries print must not be mixed with the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    peer = Peer(arguments.path, arguments.version, arguments.strategy, arguments.threads)

    def reply(fields):
        answers.write(json.dumps(fields) + "\n")
        answers.flush()

    reply(peer.ready)
    for line in sys.stdin:
        request = json.loads(line)
        if request["task"] == "prefill":
            reply(peer.prefill(request["tokens"]))
        elif request["task"] == "decode":
            reply(peer.decode(
                request["tokens"], request.get("batch", 1), request.get("prompt", 16)))


if __name__ == "__main__":
    main()
