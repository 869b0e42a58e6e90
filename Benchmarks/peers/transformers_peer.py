"""Runs a Hugging Face model with transformers on the CPU, for timings that are compared with Sextant's.

Reads JSON objects, one per line, on standard input, runs their tasks, and answers with one JSON object per line on
standard output:

    {"task": "prefill", "tokens": T}
    {"task": "decode", "tokens": N, "batch": B}

Answers contain `seconds` by the clock, `processor_seconds` of all threads, and `last`, the most probable next token
of each sequence, which shows that both sides compute the same.

Modes; the best one counts:
    eager      the default settings
    scan       `use_mambapy=True`: the parallel scan of the mambapy package, where it is installed
    compiled   `torch.compile`: fused loops, and the associative scan of torch
"""

import argparse
import json
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
    def __init__(self, folder, mode, threads):
        import torch
        import transformers
        from transformers import AutoConfig, AutoModelForCausalLM

        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        self.torch = torch
        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        config = AutoConfig.from_pretrained(folder)
        if mode == "scan":
            import mambapy  # noqa: F401  refuse early where it is missing

            config.use_mambapy = True
        begin = time.perf_counter()
        self.model = AutoModelForCausalLM.from_pretrained(folder, config=config, dtype="auto")
        self.model.eval()
        self.ready = {
            "load_seconds": time.perf_counter() - begin,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }
        self.vocabulary = config.vocab_size
        self.forward = torch.compile(self.model, dynamic=False) if mode == "compiled" else self.model

    def prompt(self, count, batch=1):
        rows = [[(7 * i + 13 * b + 1) % self.vocabulary for i in range(count)] for b in range(batch)]
        return self.torch.tensor(rows)

    def prefill(self, tokens):
        ids = self.prompt(tokens)
        watch = Stopwatch()
        output = self.forward(input_ids=ids, use_cache=True, logits_to_keep=1)
        return watch.answer(output.logits[:, -1].argmax(-1).tolist())

    def decode(self, tokens, batch, prompt):
        # The prompt runs uncompiled: it is not timed, and a second shape need not be compiled.
        output = self.model(
            input_ids=self.prompt(prompt, batch), use_cache=True, logits_to_keep=1)
        cache = self.cache(output)
        ids = output.logits[:, -1].argmax(-1)
        watch = Stopwatch()
        for _ in range(tokens):
            output = self.forward(
                input_ids=ids[:, None], use_cache=True, logits_to_keep=1, **cache)
            cache = self.cache(output)
            ids = output.logits[:, -1].argmax(-1)
        return watch.answer(ids.tolist())

    @staticmethod
    def cache(output):
        # Recurrent models and transformers have different names for the cache.
        for name in ("cache_params", "past_key_values", "state"):
            value = getattr(output, name, None)
            if value is not None:
                return {name: value}
        raise SystemExit("the model returns no cache")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", help="a model in Hugging Face layout")
    parser.add_argument("--mode", choices=["eager", "scan", "compiled"], default="eager")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    # Output that libraries print must not be mixed with the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    peer = Peer(arguments.folder, arguments.mode, arguments.threads)

    def reply(fields):
        answers.write(json.dumps(fields) + "\n")
        answers.flush()

    reply(peer.ready)
    for line in sys.stdin:
        request = json.loads(line)
        task = request["task"]
        if task == "prefill":
            reply(peer.prefill(request["tokens"]))
        elif task == "decode":
            reply(peer.decode(
                request["tokens"], request.get("batch", 1), request.get("prompt", 16)))


if __name__ == "__main__":
    main()
