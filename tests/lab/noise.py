#!/usr/bin/python3
"""What a machine of a developer is full of: noise.py MODE [MORE...]

  churn ADDRESS MILLISECONDS    listens on a new port for so long, answers, and does it again, for ever
  slow ADDRESS PORT SECONDS     accepts, and stays silent for so long before it answers
  crowd ADDRESS PORT COUNT      holds so many connections that say nothing, again when they are lost
  knock ADDRESS PORT            asks and hangs up, again and again
  meddle PATH [trip]            a local user who means harm to whoever listens on a Unix socket
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


QUESTIONS = [
    b'{"v":1,"ask":"close"}\n',
    b'{"v":1,"ask":"recover"}\n',
    b'{"v":1,"ask":"reload"}\n',
    b'{"v":1,"ask":"review"}\n',
    b'{"v":1,"ask":"watch"}\n',
    b'{"v":1,"ask":"lease"}\n',
    b'{"v":9,"ask":"status"}\n',
    b'{"v":1,"ask":"status"}' * 400 + b"\n",
    b'{"v":1,"ask":"trip","reason":' + b"[" * 2000 + b"\n",
    b"\xff\x00\n" * 1000,
    b"GET / HTTP/1.1\r\n\r\n",
    b"",
]


def meddle(path, trips):
    """Holds as many connections as it gets, asks for what it may not, and says what is no question."""
    questions = QUESTIONS + ([b'{"v":1,"ask":"trip","reason":"' + b"x" * 3000 + b'"}\n'] * 20 if trips else [])

    def one(number):
        while True:
            try:
                with socket.socket(socket.AF_UNIX) as to:
                    to.settimeout(0.3 if number % 4 else 30)
                    to.connect(path)
                    to.sendall(questions[number % len(questions)])
                    while to.recv(65536):
                        pass
            except OSError:
                time.sleep(0.01)

    for number in range(400):
        threading.Thread(target=one, args=[number], daemon=True).start()
    threading.Event().wait()


if MODE == "churn":
    churn(MORE[0], int(MORE[1]) / 1000)
elif MODE == "slow":
    slow(MORE[0], int(MORE[1]), float(MORE[2]))
elif MODE == "crowd":
    asyncio.run(crowd(MORE[0], int(MORE[1]), int(MORE[2])))
elif MODE == "knock":
    knock(MORE[0], int(MORE[1]))
elif MODE == "meddle":
    meddle(MORE[0], MORE[1:] == ["trip"])
else:
    sys.exit(__doc__)
