"""Clients that are odd, but not hostile: each gets what HTTP and the API promise: python odd.py ADDRESS"""

import json
import socket
import sys
from urllib.parse import urlsplit

address = urlsplit(sys.argv[1])
place = (address.hostname, address.port)
HOST = b"Host: %s\r\n" % address.netloc.encode()


class Answer:
    def __init__(self, status: int, headers: dict[str, str], body: bytes):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self) -> dict:
        return self.json["error"]


class Connection:
    """One connection, and the bytes on it."""

    def __init__(self, seconds: float = 30):
        self.socket = socket.create_connection(place, timeout=seconds)
        self.rest = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def until(self, end: bytes) -> bytes:
        while end not in self.rest:
            part = self.socket.recv(65536)
            assert part, f"the connection ended after {self.rest[:300]!r}"
            self.rest += part
        found, self.rest = self.rest.split(end, 1)
        return found

    def take(self, count: int) -> bytes:
        while len(self.rest) < count:
            part = self.socket.recv(65536)
            assert part, "the body is too short"
            self.rest += part
        found, self.rest = self.rest[:count], self.rest[count:]
        return found

    def answer(self, has_body: bool = True) -> Answer:
        lines = self.until(b"\r\n\r\n").decode().split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines[1:])}
        body = b""
        if not has_body or status in (100, 204, 304):
            pass
        elif headers.get("transfer-encoding") == "chunked":
            while size := int(self.until(b"\r\n"), 16):
                body += self.take(size)
                assert self.take(2) == b"\r\n"
            self.until(b"\r\n")
        elif "content-length" in headers:
            body = self.take(int(headers["content-length"]))
        else:
            while part := self.socket.recv(65536):
                self.rest += part
            body, self.rest = self.rest, b""
        return Answer(status, headers, body)

    def is_closed(self) -> bool:
        try:
            return self.socket.recv(1) == b""
        except (TimeoutError, ConnectionResetError):
            return False


def head(method: str, path: str, *lines: str, version: str = "1.1") -> bytes:
    return f"{method} {path} HTTP/{version}\r\n".encode() + HOST + "".join(line + "\r\n" for line in lines).encode() + b"\r\n"


def post(path: str, body: bytes, *lines: str, version: str = "1.1") -> bytes:
    return head("POST", path, "Content-Type: application/json", f"Content-Length: {len(body)}", *lines, version=version) + body


def ask(data: bytes, has_body: bool = True) -> Answer:
    connection = Connection()
    connection.send(data)
    return connection.answer(has_body)


def complete(**fields) -> Answer:
    return ask(post("/v1/completions", json.dumps({"max_tokens": 1, "temperature": 0, **fields}).encode()))


def is_refused(answer: Answer, status: int = 400, param: str | None = None) -> None:
    assert answer.status == status, (answer.status, answer.body)
    assert answer.error["message"] and answer.headers["content-type"] == "application/json", answer.body
    assert param is None or answer.error["param"] == param, answer.body


ONE = json.dumps({"prompt": "The film", "max_tokens": 1, "temperature": 0}).encode()


def chunked_bodies() -> None:
    expected = ask(post("/v1/completions", ONE)).json["choices"]
    for size in (1, 7, 1000):
        parts = [ONE[start : start + size] for start in range(0, len(ONE), size)]
        body = b"".join(b"%X;part=yes\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\nA-Trailer: 1\r\n\r\n"
        found = ask(head("POST", "/v1/completions", "Content-Type: application/json", "Transfer-Encoding: chunked") + body)
        assert found.status == 200 and found.json["choices"] == expected, found.body
    # A body that comes byte by byte.
    connection = Connection()
    for byte in post("/v1/completions", ONE):
        connection.send(bytes([byte]))
    assert connection.answer().json["choices"] == expected


def expectations() -> None:
    connection = Connection(10)
    connection.send(head("POST", "/v1/completions", "Content-Type: application/json", f"Content-Length: {len(ONE)}", "Expect: 100-continue"))
    first = connection.answer(has_body=False)
    assert first.status == 100, first.status
    connection.send(ONE)
    assert connection.answer().status == 200
    # A body that is too large is refused before it is sent.
    connection = Connection(10)
    connection.send(head("POST", "/v1/completions", "Content-Length: 100000000", "Expect: 100-continue"))
    assert connection.answer().status == 413


def old_versions() -> None:
    for lines, stays in (((), False), (("Connection: keep-alive",), True)):
        connection = Connection(3)
        connection.send(post("/v1/completions", ONE, *lines, version="1.0"))
        found = connection.answer()
        assert found.status == 200 and found.json["choices"][0]["text"], found.body
        assert "transfer-encoding" not in found.headers, found.headers
        if not stays:
            assert connection.is_closed(), "a connection of HTTP/1.0 stays open"
    # A stream has no length: its end is that of the connection.
    connection = Connection(10)
    connection.send(post("/v1/completions", json.dumps({"prompt": "The", "max_tokens": 3, "stream": True}).encode(), version="1.0"))
    found = connection.answer()
    assert "transfer-encoding" not in found.headers, found.headers
    assert found.body.startswith(b"data: {") and found.body.endswith(b"data: [DONE]\n\n"), found.body[-300:]


def pipelines() -> None:
    connection = Connection()
    connection.send(head("GET", "/health") + post("/v1/completions", ONE) + head("GET", "/v1/models") + post("/tokenize", b'{"prompt":"a"}'))
    answers = [connection.answer() for _ in range(4)]
    assert [answer.status for answer in answers] == [200] * 4
    assert answers[0].json == {"status": "ok"} and answers[1].json["choices"] and answers[2].json["data"] and answers[3].json["count"]
    # A stream in the middle keeps its place.
    stream = json.dumps({"prompt": "The", "max_tokens": 5, "stream": True, "ignore_eos": True}).encode()
    connection.send(post("/v1/completions", stream) + head("GET", "/health"))
    assert connection.answer().body.endswith(b"[DONE]\n\n") and connection.answer().json == {"status": "ok"}
    # Two hundred at once.
    connection.send(head("GET", "/health") * 200)
    assert all(connection.answer().status == 200 for _ in range(200))


def methods() -> None:
    for path in ("/health", "/v1/models", "/", "/main.js", "/metrics"):
        connection = Connection(5)
        connection.send(head("HEAD", path) + head("GET", path))
        first, second = connection.answer(has_body=False), connection.answer()
        assert first.status == 200 and second.status == 200, (path, first.status, second.status)
        assert first.headers["content-type"] == second.headers["content-type"]
        # The lengths of pages are equal; figures change.
        if path != "/metrics":
            assert int(first.headers["content-length"]) == len(second.body), path
    assert ask(head("HEAD", "/v1/completions"), has_body=False).status == 405
    options = ask(head("OPTIONS", "/v1/completions"))
    assert options.status == 204 and "access-control-allow-origin" not in options.headers
    is_refused(ask(head("OPTIONS", "/v1/completions", "Origin: http://evil.example", "Access-Control-Request-Method: POST")), 403)
    for method in ("PUT", "DELETE", "PATCH", "TRACE", "FOO"):
        found = ask(head(method, "/v1/completions", "Content-Length: 0"))
        assert found.status in (405, 501, 400), (method, found.status)
        if found.status == 405:
            assert found.headers["allow"] == "POST", found.headers


def encodings() -> None:
    for coding in ("utf-16", "utf-16-le", "utf-32", "latin-1"):
        body = json.dumps({"prompt": "é", "max_tokens": 1}, ensure_ascii=False).encode(coding)
        is_refused(ask(post("/v1/completions", body)))
    # A mark at the beginning of UTF-8 is no part of JSON.
    is_refused(ask(post("/v1/completions", b"\xef\xbb\xbf" + ONE)))
    # Escapes and characters are the same text, beyond the first plane too.
    texts = [ask(post("/v1/completions", body)).json["choices"][0]["text"] for body in (
        '{"prompt": "é😀", "max_tokens": 3, "temperature": 0, "echo": true}'.encode(),
        b'{"prompt": "\\u00e9\\ud83d\\ude00", "max_tokens": 3, "temperature": 0, "echo": true}',
    )]
    assert texts[0] == texts[1] and texts[0].startswith("é😀"), texts
    is_refused(ask(post("/v1/completions", b'{"prompt": "\\ud83d", "max_tokens": 1}')), param="prompt")
    found = ask(post("/v1/completions", '{"prompt": "a\\u0000b\u2028", "max_tokens": 0, "echo": true}'.encode()))
    assert found.json["choices"][0]["text"] == "a\0b\u2028", found.body


def values() -> None:
    deep = b'{"prompt": "a", "x": ' + b"[" * 5000 + b"]" * 5000 + b"}"
    is_refused(ask(post("/v1/completions", deep)))
    is_refused(ask(post("/v1/completions", b'{"prompt": "a", "prompt": "b"}')))
    for body in (b"", b" ", b"null", b"[]", b'"a"', b"{}x", b"{'prompt': 1}", b'{"prompt": "a",}', b"NaN"):
        is_refused(ask(post("/v1/completions", body)))
    for name, value in (
        ("n", 0), ("n", 1000), ("n", -1), ("logprobs", 100000), ("logprobs", -1), ("logprobs", True), ("max_tokens", -5),
        ("max_tokens", 10**18), ("max_tokens", 1.5), ("temperature", -0.1), ("temperature", 1e308), ("top_p", 2), ("min_p", -1),
        ("seed", 1e40), ("stop", {}), ("stop", ["a"] * 65), ("stop", "a" * 1025), ("stream", 1), ("stream", "true"), ("echo", "yes"),
        ("logit_bias", {"99999999": 1}), ("logit_bias", {"a": 1}), ("logit_bias", {"5": 1000}), ("stop_token_ids", [10**9]),
        ("cache_salt", "a" * 257), ("best_of", 5), ("suffix", "a"), ("context_tokens", 0), ("stream_options", []),
    ):
        found = complete(prompt="The", **{name: value})
        is_refused(found)
        assert found.error["param"].startswith(name), found.body
    # Numbers beyond those of the machine are no matter where nobody reads them.
    found = ask(post("/v1/completions", b'{"prompt": "a", "max_tokens": 1, "x": 1e999999, "y": 123456789012345678901234567890}'))
    assert found.status == 200 and found.json["sextant"]["ignored"] == ["x", "y"], found.body
    for stop in ([], [""], ["", ""], "", None, ["zzz", ""]):
        assert complete(prompt="The", stop=stop, max_tokens=3).json["usage"]["completion_tokens"] == 3, stop
    for prompt in ([10**9], [-1], [2048], [1.5], ["a", 1], [[1], "a"], [[1], [10**9]], [None], {"a": 1}, True, [[]] * 300):
        is_refused(complete(prompt=prompt))
    assert complete(prompt=[5.0, 6]).status == 200
    assert complete(prompt=[[], [5]]).status == 200 and complete(prompt=[]).status == 200 and complete(prompt=None).status == 200


def names() -> None:
    for name in ("nothing", "", "demo+", "demo+joy:", "demo+nobody:1", "demö", "demo\u0000", "démo+joy:1", "😀" * 100, "demo/../demo", "a" * 5000):
        found = complete(prompt="The", model=name)
        assert found.status in (400, 404), (name, found.body)
        assert found.error["param"] == "model", found.body
    assert complete(prompt="The", model="demo+joy:+1e0").status == 200
    for path, status in (
        ("/v1/models/demo", 200), ("/v1/models/demo%2Bjoy%3A2", 200), ("/v1/models/demo+joy:2", 200), ("/v1/models/d%C3%A9mo", 404),
        ("/v1/models/", 404), ("/v1/models/%00", 404), ("/v1/models/%ff", 404), ("/v1/models/%zz", 404), ("/v1/models/demo/", 404),
        ("/v1/models/..%2F..%2Fetc", 404), ("/%68ealth", 200), ("//health", 404), ("/health?x=%ff&y", 200), ("/health/", 404),
        ("/sextant/v1/artifacts/joy", 200), ("/sextant/v1/artifacts/j%6Fy", 200), ("/sextant/v1/artifacts/%2e%2e", 400),
    ):
        found = ask(head("GET", path))
        assert found.status == status, (path, found.status, found.body[:200])
    # The whole address in the first line, as proxies send it.
    assert ask(head("GET", f"http://{address.netloc}/health")).status == 200


def streams() -> None:
    def chunks(**fields) -> list[dict]:
        found = complete(stream=True, **fields)
        assert found.status == 200, found.body
        lines = [line for line in found.body.decode().split("\n\n") if line]
        assert lines[-1] == "data: [DONE]", lines[-1]
        return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]

    def texts(parts: list[dict]) -> list[str]:
        found: dict[int, str] = {}
        for part in parts:
            for choice in part["choices"]:
                found[choice["index"]] = found.get(choice["index"], "") + choice["text"]
        return [found[index] for index in sorted(found)]

    fields = {"prompt": ["The film", "A dog"], "n": 3, "max_tokens": 6, "temperature": 1, "seed": 5, "ignore_eos": True}
    whole = complete(**fields).json
    parts = chunks(**fields, stream_options={"include_usage": True})
    assert texts(parts) == [choice["text"] for choice in whole["choices"]]
    assert parts[-1]["usage"] == whole["usage"] | {"prompt_tokens_details": parts[-1]["usage"]["prompt_tokens_details"]}
    assert all(part["usage"] is None for part in parts[:-1])
    assert {part["id"] for part in parts} == {parts[0]["id"]}
    fields = {"prompt": "The é film", "echo": True, "logprobs": 2, "max_tokens": 4, "temperature": 0}
    whole = complete(**fields).json["choices"][0]
    parts = chunks(**fields)
    assert texts(parts) == [whole["text"]] and whole["text"].startswith("The é film")
    for name, values in whole["logprobs"].items():
        assert [value for part in parts for value in part["choices"][0]["logprobs"][name]] == values, name
    assert texts(chunks(prompt="The", echo=True, max_tokens=0)) == ["The"]
    assert complete(prompt="The", stream_options={"include_usage": True}).status == 200
    is_refused(complete(prompt="The", stream=True, stream_options={"include_usage": "yes"}))
    # An error comes before the stream begins, as an answer of its own.
    is_refused(complete(prompt="The", stream=True, steering="nobody:1"), 404)


failed = 0
for client in (chunked_bodies, expectations, old_versions, pipelines, methods, encodings, values, names, streams):
    try:
        client()
        print(f"{client.__name__.replace('_', ' ')}: as promised")
    except Exception as error:  # The others are tried all the same.
        failed += 1
        print(f"{client.__name__.replace('_', ' ')} FAILED: {type(error).__name__} {str(error)[:400]} at line {error.__traceback__.tb_next.tb_lineno if error.__traceback__.tb_next else 0}")
sys.exit(failed)
