#!/usr/bin/python3
"""What a machine of a developer is full of: noise.py MODE [MORE...]

  churn ADDRESS MILLISECONDS    listens on a new port for so long, answers, and does it again, for ever
  slow ADDRESS PORT SECONDS     accepts, and stays silent for so long before it answers
  crowd ADDRESS PORT COUNT      holds so many connections that say nothing, again when they are lost
  knock ADDRESS PORT            asks and hangs up, again and again
  silent PATH                   a Unix socket that accepts, and never says a word
"""

import asyncio
import os
import resource
import socket
import sys
import threading
import time

MODE, MORE = sys.argv[1], sys.argv[2:]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"


def listen(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, port), family=family)


def answer(connection):
    try:
        with connection:
            connection.settimeout(0.2)
            connection.recv(4096)
            connection.sendall(ANSWER)
    except OSError:
        pass


def churn(address, seconds):
    while True:
        end = time.monotonic() + seconds
        with listen(address, 0) as server:
            while (left := end - time.monotonic()) > 0:
                server.settimeout(left)
                try:
                    answer(server.accept()[0])
                except TimeoutError:
                    pass


def slow(address, port, seconds):
    def later(connection):
        time.sleep(seconds)
        answer(connection)

    server = listen(address, port)
    while True:
        threading.Thread(target=later, args=[server.accept()[0]], daemon=True).start()


async def crowd(address, port, count):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    turns = asyncio.Semaphore(50)

    async def one():
        while True:
            try:
                async with turns:
                    reader, writer = await asyncio.open_connection(address, port)
                await reader.read()
                writer.close()
            except OSError:
                pass
            await asyncio.sleep(0.5)

    await asyncio.gather(*(one() for _ in range(count)))


def knock(address, port):
    while True:
        try:
            with socket.create_connection((address, port), timeout=1) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                connection.recv(4096)
        except OSError:
            pass
        time.sleep(0.02)


def silent(path):
    held = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        os.chmod(path, 0o600)
        server.listen()
        while True:
            held.append(server.accept()[0])


if MODE == "churn":
    churn(MORE[0], int(MORE[1]) / 1000)
elif MODE == "slow":
    slow(MORE[0], int(MORE[1]), float(MORE[2]))
elif MODE == "crowd":
    asyncio.run(crowd(MORE[0], int(MORE[1]), int(MORE[2])))
elif MODE == "knock":
    knock(MORE[0], int(MORE[1]))
elif MODE == "silent":
    silent(MORE[0])
else:
    sys.exit(__doc__)
