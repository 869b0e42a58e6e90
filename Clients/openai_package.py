"""The openai package against the server: python openai_package.py ADDRESS"""

import json
import sys
import threading
import time
import urllib.request

import openai

address = sys.argv[1].rstrip("/")
client = openai.OpenAI(base_url=f"{address}/v1", api_key="-", max_retries=0)

# Models: the model, and the preset joy:2 if the server has it; any name with steering is one.
assert client.models.list().data[0].id == "demo"
assert client.models.retrieve("demo+joy:2").id == "demo+joy:2"

# Completions: echo, samples, log-probabilities, several prompts.
answer = client.completions.create(model="demo", prompt="The film", max_tokens=4, echo=True, logprobs=2, n=2, seed=5)
assert len(answer.choices) == 2
for choice in answer.choices:
    logprobs = choice.logprobs
    assert "".join(logprobs.tokens) == choice.text and choice.text.startswith("The film")
    assert logprobs.token_logprobs[0] is None and all(value <= 0 for value in logprobs.token_logprobs[1:])
    assert len(logprobs.text_offset) == len(logprobs.tokens) and choice.finish_reason == "length"
assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
assert len(client.completions.create(model="demo", prompt=["A", "B", "C"], max_tokens=1).choices) == 3
same = [client.completions.create(model="demo", prompt="The", max_tokens=8, seed=3).choices[0].text for _ in range(2)]
assert same[0] == same[1]

# Steering in the body, and in the name of the model: the same text.
by_body = client.completions.create(
    model="demo", prompt="I watched this film last night and", max_tokens=12, temperature=0, extra_body={"steering": ["joy:2"]})
by_name = client.completions.create(
    model="demo+joy:2", prompt="I watched this film last night and", max_tokens=12, temperature=0)
plain = client.completions.create(
    model="demo", prompt="I watched this film last night and", max_tokens=12, temperature=0)
assert by_body.choices[0].text == by_name.choices[0].text != plain.choices[0].text

# Streams: the text of the pieces is the text of the whole, and the last piece has the usage.
arguments = dict(model="demo", messages=[{"role": "user", "content": [{"type": "text", "text": "hello"}]}], max_tokens=12, seed=1)
whole = client.chat.completions.create(**arguments)
pieces = list(client.chat.completions.create(
    **arguments, stream=True, logprobs=True, top_logprobs=2, stream_options={"include_usage": True},
    extra_body={"sextant": {"lens": "logit", "probes": ["truth"]}}))
text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
assert text == whole.choices[0].message.content
assert pieces[-1].usage.completion_tokens == whole.usage.completion_tokens and not pieces[-1].choices
assert any("lens" in (piece.model_extra.get("sextant") or {}) for piece in pieces)

# Errors are the exceptions that their kinds have.
for expected, arguments in [
    (openai.BadRequestError, dict(model="demo", prompt="a", temperature=-1)),
    (openai.BadRequestError, dict(model="demo", prompt="a", extra_body={"steering": {"vectors": [{"source": "joy", "scal": 1}]}})),
    (openai.NotFoundError, dict(model="another", prompt="a")),
    (openai.NotFoundError, dict(model="demo", prompt="a", extra_body={"steering": "nothing:1"})),
]:
    try:
        client.completions.create(max_tokens=1, **arguments)
        raise SystemExit(f"no error for {arguments}")
    except expected as error:
        assert error.body["message"] and error.request_id, error
print("errors:", "400, 404")


def running() -> float:
    text = urllib.request.urlopen(f"{address}/metrics").read().decode()
    return float(next(line.split()[-1] for line in text.splitlines() if line.split(" ")[0].endswith("running")))


# A client that leaves its stream frees its row.
stream = client.completions.create(model="demo", prompt="On", max_tokens=50000, stream=True, extra_body={"ignore_eos": True})
next(iter(stream))
assert running() == 1
stream.close()
left = time.perf_counter()
while running() and time.perf_counter() - left < 5:
    time.sleep(0.002)
print(f"a row is free {1000 * (time.perf_counter() - left):.0f} ms after its client has left")
assert running() == 0

# Two threads at once.
texts: list[str] = []
threads = [
    threading.Thread(target=lambda: texts.append(client.completions.create(
        model="demo", prompt="The", max_tokens=60, seed=9).choices[0].text)) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(texts) == 4 and len(set(texts)) == 1
print("models, completions, chats, streams, steering and errors are as the package expects")
