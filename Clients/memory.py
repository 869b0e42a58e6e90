"""The memory of the server over a thousand requests: python memory.py ADDRESS PROCESS"""

import http.client
import json
import sys
from urllib.parse import urlsplit

host, process = urlsplit(sys.argv[1]).netloc, sys.argv[2]
connection = http.client.HTTPConnection(host)


def megabytes() -> float:
    lines = open(f"/proc/{process}/status").read().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def ask(number: int) -> None:
    # The cache is left out: it has a limit of its own, and is to fill up to it.
    body = {"prompt": f"Request {number} asks for", "max_tokens": 8, "logprobs": 2, "echo": True, "cache_prompt": False,
            "stream": number % 3 == 0}
    connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    answer.read()


for number in range(50):
    ask(number)
before = megabytes()
for number in range(1000):
    ask(number)
after = megabytes()
print(f"{before:.1f} MB before, {after:.1f} MB after 1,000 requests")
assert after - before <= 50, (before, after)
