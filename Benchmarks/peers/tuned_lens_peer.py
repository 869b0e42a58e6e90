"""One training step of lenses with the tuned-lens package on torch's CPU build, for timings.

    python tuned_lens_peer.py --width D --vocabulary V --tokens T --sites S --threads N --mode f32|bf16

Reads one line of JSON per round on standard input and answers with one line: `seconds` by the clock,
`processor_seconds` of all threads, `losses` and `peak_bytes`. The streams are random: the time that
a step takes does not depend on the numbers in it. The timed part is the package's loop after the model's hidden
states: target, translators, loss, gradients. `bf16` has the autocast of the package's loop; `f32` does not.
"""

import argparse
import json
import resource
import sys
import time
from contextlib import nullcontext

import torch


class RMSNorm(torch.nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = x.float()
        return self.weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-5))


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ["width", "vocabulary", "tokens", "sites", "threads"]:
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--mode", choices=["f32", "bf16"], required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)

    from tuned_lens.nn.lenses import TunedLens, TunedLensConfig
    from tuned_lens.nn.unembed import Unembed

    readout = Unembed.__new__(Unembed)  # the package's class; it does not know this family
    torch.nn.Module.__init__(readout)
    readout.final_norm = RMSNorm(options.width)
    readout.unembedding = torch.nn.Linear(options.width, options.vocabulary, bias=False)
    torch.nn.init.normal_(readout.unembedding.weight, std=0.02)
    readout.requires_grad_(False)
    config = TunedLensConfig("random", d_model=options.width, num_hidden_layers=options.sites)
    lens = TunedLens(readout, config)
    hidden = [torch.randn(1, options.tokens, options.width) for _ in range(options.sites + 1)]

    for _ in sys.stdin:
        clock, processor = time.perf_counter(), time.process_time()
        with torch.no_grad():
            labels = readout(hidden[-1]).float().log_softmax(dim=-1)
        losses = []
        for index, h in enumerate(hidden[:-1]):
            cast = torch.autocast("cpu", dtype=torch.bfloat16)
            with cast if options.mode == "bf16" else nullcontext():
                logits = lens(h, idx=index)
                loss = torch.sum(
                    labels.exp() * (labels - logits.log_softmax(-1)), dim=-1
                ).mean()
            loss.backward()
            losses.append(loss.item())
        answer = {
            "seconds": time.perf_counter() - clock,
            "processor_seconds": time.process_time() - processor,
            "losses": losses,
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }
        lens.zero_grad()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
