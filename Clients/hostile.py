"""Clients that behave badly, and a good one that is answered throughout: python hostile.py ADDRESS PROCESS

Everything stays on this machine, and every loop is bounded.
"""

import http.client
import json
import random
import socket
import sys
import threading
import time
from urllib.parse import urlsplit

address = urlsplit(sys.argv[1])
process = sys.argv[2]
place = (address.hostname, address.port)
host = address.netloc


def alive(seconds: float = 5) -> float:
    """Asks for one token; how long the answer took."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection(*place, timeout=seconds)
    connection.request("POST", "/v1/completions", json.dumps({"prompt": "The", "max_tokens": 1}), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    answer.read()
    connection.close()
    return time.perf_counter() - began


def memory() -> float:
    lines = open(f"/proc/{process}/status").read().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def raw(data: bytes, seconds: float = 5) -> bytes:
    """Sends bytes; returns what comes back until the server closes, or for some seconds."""
    own = socket.create_connection(place, timeout=seconds)
    answer = b""
    try:
        own.sendall(data)
    except OSError:
        pass
    try:
        while part := own.recv(65536):
            answer += part
            if b"\r\n\r\n" in answer and (b"content-length" in answer.lower()):
                break
    except OSError:
        pass
    own.close()
    return answer


def ask(method: str, path: str, body: object = None, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(*place, timeout=10)
    data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, data, {"Content-Type": "application/json", **names})
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def slow_reader() -> None:
    body = json.dumps({"prompt": "On", "max_tokens": 100000, "stream": True, "ignore_eos": True, "logprobs": 5}).encode()
    before = memory()
    own = socket.create_connection(place)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    own.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                % (host.encode(), len(body), body))
    for _ in range(6):
        time.sleep(0.5)
        alive()
    assert memory() - before < 40, (before, memory())
    own.close()


def huge_header() -> None:
    assert raw(b"GET /health HTTP/1.1\r\nHost: %s\r\nA: %s\r\n\r\n" % (host.encode(), b"a" * 200_000)).startswith(b"HTTP/1.1 400")
    many = b"".join(b"A%d: b\r\n" % number for number in range(500))
    assert raw(b"GET /health HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (host.encode(), many)).startswith(b"HTTP/1.1 400")


def huge_body() -> None:
    before = memory()
    head = b"POST /v1/completions HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n" % host.encode()
    assert b" 413 " in raw(head + b"Content-Length: 100000000\r\n\r\n" + b"a" * 1_000_000)
    chunk = b"100000\r\n" + b"a" * 0x100000 + b"\r\n"
    assert b" 413 " in raw(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 12 + b"0\r\n\r\n")
    assert memory() - before < 60, (before, memory())


def evil_host() -> None:
    assert ask("POST", "/v1/completions", {"prompt": "a"}, Host="evil.example")[0] == 421
    assert ask("GET", "/v1/models", Host=f"evil.example:{address.port}")[0] == 421


def evil_origin() -> None:
    assert ask("POST", "/v1/completions", {"prompt": "a"}, Origin="http://evil.example")[0] == 403
    assert ask("GET", "/v1/models", Sec_Fetch_Site="cross-site")[0] == 403
    status, _ = ask("POST", "/v1/completions", {"prompt": "a"}, Origin="null")
    assert status == 403


def no_descriptors() -> None:
    # The server of this check may open 96 descriptors. It closes connections that ask nothing, and goes on.
    waiting_crowd(150)


def cancelled_streams() -> None:
    body = json.dumps({"prompt": "On", "max_tokens": 50000, "stream": True, "ignore_eos": True}).encode()
    for _ in range(20):
        own = socket.create_connection(place)
        own.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                    % (host.encode(), len(body), body))
        own.recv(100)
        own.close()
    until = time.monotonic() + 10
    while True:
        text = ask("GET", "/metrics")[1].decode()
        rows = [float(line.split()[-1]) for line in text.splitlines() if line.split(" ")[0].endswith("running")]
        if rows == [0.0]:
            return
        assert time.monotonic() < until, text
        time.sleep(0.05)


def garbage() -> None:
    chance = random.Random(4)
    for size in (1, 40, 4000):
        raw(bytes(chance.randrange(256) for _ in range(size)) + b"\r\n\r\n", 1)
    assert b" 400 " in raw(b"GARBAGE\r\n\r\n")
    raw(b"POST /v1/completions HTTP/1.1\r\nHost: %s\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef" % host.encode(), 1)
    for body in (b"", b"{", b"\xff\xfe", b"[" * 100000, b'{"prompt": "a"' + b" " * 1000000, b'{"prompt": 1e999999999}'):
        assert ask("POST", "/v1/completions", body)[0] == 400, body[:40]


def wrong_types() -> None:
    for body in (
        [], 1, "a", {"prompt": {}}, {"prompt": [[["a"]]]}, {"prompt": [-1]}, {"prompt": [10**30]}, {"prompt": "a", "n": 10**9},
        {"prompt": "a", "max_tokens": "4"}, {"prompt": "a", "temperature": []}, {"prompt": "a", "logprobs": 10**6},
        {"prompt": "a", "stop": [1]}, {"prompt": "a", "steering": {"vectors": [{"source": "../../etc/passwd"}]}},
        {"prompt": "a", "steering": 5}, {"prompt": "a", "sextant": []}, {"prompt": "a", "response_format": {"type": "json_object"}},
    ):
        status, text = ask("POST", "/v1/completions", body)
        assert status == 400, (body, status, text)
        assert json.loads(text)["error"]["message"]
    status, text = ask("POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}], "tools": [{"a": 1}]})
    assert status == 400, text
    for path in ("/v1/chat/completions", "/completion", "/tokenize", "/detokenize", "/sextant/v1/runs"):
        assert ask("POST", path, {"messages": 3, "prompt": 5, "tokens": "x"})[0] == 400, path
    assert ask("POST", "/v1/completions", b"abc", Content_Encoding="gzip")[0] == 415


def waiting_crowd(count: int) -> None:
    """Clients that connect and ask nothing. While they stay, others are answered."""
    crowd = []
    for number in range(count):
        crowd.append(socket.create_connection(place, timeout=10))
        if number % 50 == 49:
            alive()
    for _ in range(3):
        alive()
    # A part of a header is no request either.
    for own in crowd:
        try:
            own.sendall(b"GET /health HTTP/1.1\r\nA: ")
        except OSError:
            pass
    alive()
    for own in crowd:
        own.close()


def thousand_connections() -> None:
    waiting_crowd(1000)

    def one() -> None:
        try:
            own = socket.create_connection(place, timeout=2)
            own.sendall(b"GET /health HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % host.encode())
            own.recv(300)
            own.close()
        except OSError:
            pass

    for _ in range(20):
        crowd = [threading.Thread(target=one) for _ in range(50)]
        for thread in crowd:
            thread.start()
        alive(20)
        for thread in crowd:
            thread.join()


failed = 0
for client in (
    slow_reader, huge_header, huge_body, evil_host, evil_origin, no_descriptors, cancelled_streams, garbage, wrong_types,
    thousand_connections,
):
    try:
        client()
        seconds = alive()
        print(f"{client.__name__.replace('_', ' ')}: answered others throughout ({1000 * seconds:.0f} ms after it)")
    except Exception as error:  # The other clients are tried all the same.
        failed += 1
        print(f"{client.__name__.replace('_', ' ')} FAILED: {type(error).__name__} {error}")
sys.exit(failed)
