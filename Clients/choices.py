"""How much faster the prefix cache makes lm_eval's log-likelihoods: python choices.py ADDRESS

The requests are those that lm_eval makes for questions with four choices: alone, and after a few examples that all questions
share. Only the requests are timed, and not lm_eval's start.
"""

import random
import statistics
import sys
import time

from lm_eval.api.instance import Instance
from lm_eval.models.openai_completions import LocalCompletionsAPI

address = sys.argv[1].rstrip("/")
WORDS = "the old house at end of road was empty and nobody in village knew who had lived there before war began".split()
chance = random.Random(7)


class WithoutCache(LocalCompletionsAPI):
    """The same requests, which ask the server to read every prompt."""

    def _create_payload(self, *arguments, **options):
        return {**super()._create_payload(*arguments, **options), "cache_prompt": False}


def sentence(count: int) -> str:
    return " ".join(chance.choice(WORDS) for _ in range(count)) + "."


def questions(shots: str, count: int, length: int) -> list[Instance]:
    """Four choices of one to four words for each question."""
    found = []
    for number in range(count):
        context = f"{shots}Question {number}: {sentence(length)} Is it true? Answer:"
        for choice in (" yes", " no", " nobody knows", " only in the village"):
            found.append(Instance("loglikelihood", {}, (context, choice), len(found)))
    return found


def seconds(kind: type, requests: list[Instance], size: int) -> tuple[float, list]:
    model = kind(model="demo", base_url=f"{address}/v1/completions", max_length=100000, batch_size=size)
    model.tok_encode("the tokenizer is asked before the time counts")
    began = time.perf_counter()
    found = model.loglikelihood(requests, disable_tqdm=True)
    return time.perf_counter() - began, found


failed = False
# The second figure is the one that is wanted: lm_eval puts the same examples before all questions.
for name, shots, length, least in (("questions of 90 words", 0, 90, 1.5), ("5 examples of 60 words, questions of 30", 5, 30, 2.5)):
    for size in (1, 8):
        ratios = []
        for turn in range(3):
            # Other texts in each turn, so that the cache knows none of them.
            prefix = "".join(f"{sentence(60)} Answer: no\n" for _ in range(shots))
            requests = questions(prefix, 16, length)
            without, expected = seconds(WithoutCache, requests, size)
            within, found = seconds(LocalCompletionsAPI, requests, size)
            assert found == expected, "the cache changes log-likelihoods"
            ratios.append(without / within)
        ratio = statistics.median(ratios)
        print(f"lm_eval, {name}, batch size {size}: {without:.2f} s without the prefix cache, {within:.2f} s with it; "
              f"{ratio:.1f} times as fast")
        failed |= ratio < least
sys.exit(failed)
