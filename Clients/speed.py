"""How many requests the server answers, and how soon a text begins: python speed.py ADDRESS"""

import http.client
import json
import re
import statistics
import subprocess
import sys
import time
from urllib.parse import urlsplit

address = sys.argv[1].rstrip("/")
host = urlsplit(address).netloc

found = subprocess.run(["wrk", "-t1", "-c8", "-d4", f"{address}/health"], capture_output=True, text=True, check=True).stdout
rate = float(re.search(r"Requests/sec:\s+([\d.]+)", found)[1])
print(f"GET /health, 8 connections: {rate:.0f} a second")
assert rate >= 2000, found

connection = http.client.HTTPConnection(host)


def post(body: dict) -> float:
    """Seconds until the first byte of the answer."""
    began = time.perf_counter()
    connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    seconds = time.perf_counter() - began
    assert answer.status == 200, answer.read()
    answer.read()
    return seconds


one = statistics.median(post({"prompt": f"Number {n} is", "max_tokens": 1}) for n in range(50))
print(f"first byte of a completion of one token: {1000 * one:.1f} ms")
assert one <= 0.005, one

# Four choices of one question share a context, as lm_eval asks for them.
context = "The old house at the end of the road was empty, and nobody in the village knew who had lived there. " * 4


def questions(cached: bool) -> float:
    began = time.perf_counter()
    for number in range(12):
        for choice in (" yes", " no", " perhaps", " never"):
            post({
                "prompt": f"Question {number}{cached}. {context}Is it true?{choice}", "max_tokens": 1, "temperature": 0,
                "logprobs": 1, "echo": True, "cache_prompt": cached,
            })
    return time.perf_counter() - began


questions(False)
without, within = questions(False), questions(True)
print(f"48 choices of 12 questions: {without:.2f} s without the prefix cache, {within:.2f} s with it, {without / within:.1f} times as fast")
# On so short texts of so small a model, each further run costs nearly as much as some tokens: choices.py has longer ones.
assert without / within >= 1.3, (without, within)


def stream(body: dict) -> list[tuple[str, dict]]:
    own = http.client.HTTPConnection(host)
    own.request("POST", "/sextant/v1/runs", json.dumps(body), {"Content-Type": "application/json"})
    answer = own.getresponse()
    text = answer.read().decode()
    assert answer.status == 200, text
    return [(event.split("\n")[0][7:], json.loads(event.split("\ndata: ")[1])) for event in text.strip().split("\n\n")]


told = stream({"prompt": "I watched this film last night and", "max_tokens": 200, "ignore_eos": True})
run, first = told[0][1]["run"], next(data["position"] for name, data in told if name == "token")
forks = []
for offset in range(10, 180, 10):
    began = time.perf_counter()
    stream({"from": {"run": run, "branch": "A", "position": first + offset}, "max_tokens": 1, "branches": [{"name": "F"}]})
    forks.append(time.perf_counter() - began)
print(f"a fork with its first token: {1000 * statistics.median(forks):.1f} ms (largest {1000 * max(forks):.1f})")
assert statistics.median(forks) <= 0.05, forks
