#!/usr/bin/python3
"""A gateway's double whose sockets can be shared, and the innocent programs that share them.

  double.py serve ADDRESS PORT             answers as a gateway, thousands at once
  double.py lend ADDRESS PORT SOCKET       the same, and hands its listening socket to who waits at SOCKET
  double.py inherited                      the same on descriptor 3, which somebody else has opened
  double.py keep SOCKET                    waits at SOCKET for a descriptor and keeps it; serves nobody
  double.py activate ADDRESS PORT UID      opens a socket, starts a double of that user on it, keeps it open

Who is to be taken for a gateway is started under a gateway's name.
"""

import array
import asyncio
import os
import pwd
import resource
import signal
import socket
import sys

TITLE = "openclaw-gateway"
REFUSED = b'{"error":{"message":"Unauthorized","type":"unauthorized"}}'
PAGE = b"<!doctype html><title>A double</title>"


def listener(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, int(port)), family=family, backlog=4096)


async def answer(reader, writer):
    try:
        asked = await reader.read(4096)
        if asked:
            call = asked.startswith(b"POST /tools/invoke ")
            status, kind, body = ("401 Unauthorized", "application/json", REFUSED) if call else ("200 OK", "text/html", PAGE)
            head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
        writer.close()
    except OSError:
        pass


def serve(on):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

    async def forever():
        server = await asyncio.start_server(answer, sock=on)
        await server.serve_forever()

    asyncio.run(forever())


def lend(on, path):
    with socket.socket(socket.AF_UNIX) as to:
        to.connect(path)
        descriptors = array.array("i", [on.fileno()])
        to.sendmsg([b"take it"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
        # It has been taken once that is said.
        to.recv(1)


def keep(path):
    with socket.socket(socket.AF_UNIX) as at:
        at.bind(path)
        os.chmod(path, 0o666)
        at.listen()
        connection = at.accept()[0]
        kept = connection.recvmsg(16, socket.CMSG_SPACE(4))[1]
        connection.send(b"y")
        while kept:
            signal.pause()


def activate(address, port, uid):
    opened = listener(address, port)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    if os.fork() == 0:
        os.dup2(opened.fileno(), 3)
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
        os.environ["HOME"] = pwd.getpwuid(uid).pw_dir
        os.execv("/usr/bin/python3", [TITLE, os.path.abspath(__file__), "inherited"])
    while True:
        signal.pause()


MODE, MORE = sys.argv[1], sys.argv[2:]
if MODE == "serve":
    serve(listener(*MORE))
elif MODE == "lend":
    opened = listener(*MORE[:2])
    lend(opened, MORE[2])
    serve(opened)
elif MODE == "inherited":
    serve(socket.socket(fileno=3))
elif MODE == "keep":
    keep(MORE[0])
elif MODE == "activate":
    activate(MORE[0], MORE[1], int(MORE[2]))
else:
    sys.exit(__doc__)
