"""Clients that post bodies over plain sockets, as fast as they are taken."""

import socket
import statistics
import threading
import time
from collections.abc import Iterator

_HEAD = (
    "POST /api/monte-carlo/simulate HTTP/1.1\r\nHost: bench\r\n"
    "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n"
)
ENTRY = b'{"stage":"series-a","weight":0.0001,"companyId":123456,"name":"Company","notes":"' + b"n" * 140 + b'"}'


def post(port: int, pieces: Iterator[bytes], length: int) -> tuple[int, bytes]:
    """Send one request and return status and head of the answer, also when it comes before the body's end."""
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        try:
            connection.sendall(_HEAD.format(length).encode())
            for piece in pieces:
                connection.sendall(piece)
        except OSError:
            pass  # an early answer
        answer = connection.recv(65536)
    return int(answer.split(b" ", 2)[1]), answer


def generated(size: int, entry: bytes = ENTRY) -> tuple[Iterator[bytes], int]:
    """Return a body of about `size` bytes as pieces, made as they are needed, and its exact length."""
    block = b",".join([entry] * 256)
    count = max(1, size // (len(block) + 1))
    begin, end = b'{"fundId":1,"stageDistribution":[', b"]}"

    def pieces() -> Iterator[bytes]:
        yield begin + block
        for _ in range(count - 1):
            yield b"," + block
        yield end

    return pieces(), len(begin) + count * (len(block) + 1) - 1 + len(end)


def at_once(port: int, clients: int, size: int, entry: bytes = ENTRY) -> list[int]:
    """Send so many generated bodies at the same time; returns the statuses."""
    statuses: list[int] = []

    def one() -> None:
        pieces, length = generated(size, entry)
        statuses.append(post(port, pieces, length)[0])

    threads = [threading.Thread(target=one) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


def lone_latency(port: int, body: bytes, requests: int) -> list[float]:
    """Return the milliseconds of each of so many requests, one after the other on one connection."""
    message = _HEAD.format(len(body)).encode() + body
    took = []
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(requests):
            begin = time.perf_counter()
            connection.sendall(message)
            answer = connection.recv(65536)
            took.append((time.perf_counter() - begin) * 1000)
            if b" 200 " not in answer[:20]:
                raise RuntimeError(answer[:200])
    return took


def percentile(values: list[float], share: float) -> float:
    """Return the value below which this share of the values lies."""
    return statistics.quantiles(values, n=1000, method="inclusive")[round(share * 1000) - 1]
