#!/usr/bin/python3
"""Servers that are no gateway: server.py MODE ADDRESS PORT [MORE...]

  silent            accepts, and never says a word
  page FILE         answers every request with this page
  tired FILE        the same with a page of its own; while the file is there it thinks for 3 s before WebSockets
  endless-body      a page without an end
  endless-headers   an answer whose headers have no end
  slow              one byte every 100 ms
  redirects         every page says that it is elsewhere
  gzip-bomb         10 GiB of zeros, compressed to 10 MiB, sent to whoever accepts gzip or not
  many COUNT        silent, on COUNT ports from PORT on
"""

import gzip
import http.server
import os
import resource
import selectors
import socket
import socketserver
import sys
import time

MODE, ADDRESS, PORT = sys.argv[1], sys.argv[2], int(sys.argv[3])
MORE = sys.argv[4:]
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"


def listener(port):
    server = socket.create_server((ADDRESS, port), family=socket.AF_INET6 if ":" in ADDRESS else socket.AF_INET)
    server.setblocking(False)
    return server


def hold(ports):
    """Accepts on every port and keeps what it has accepted."""
    selector = selectors.DefaultSelector()
    for port in ports:
        selector.register(listener(port), selectors.EVENT_READ)
    held = []
    while True:
        for key, _ in selector.select():
            held.append(key.fileobj.accept())


def endless_body(send):
    send(OK + b"\r\n<!doctype html><html><head><title>")
    while True:
        send(b"a" * 65536)


def endless_headers(send):
    send(OK)
    number = 0
    while True:
        number += 1
        send(b"X-Header-%d: " % number + b"a" * 1000 + b"\r\n")


def slow(send):
    for byte in OK + b"\r\n" + b"<p>" * 1_000_000:
        send(bytes([byte]))
        time.sleep(0.1)


def redirects(send):
    send(b"HTTP/1.1 302 Found\r\nLocation: http://%s:%d/again\r\nContent-Length: 0\r\n\r\n" % (ADDRESS.encode(), PORT))


def gzip_bomb(send):
    megabyte = gzip.compress(bytes(1 << 20))
    send(OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % (len(megabyte) * 10240))
    for _ in range(10240):
        send(megabyte)


def hostile(behave):
    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            try:
                self.request.recv(65536)
                behave(self.request.sendall)
            except OSError:
                pass

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    Server((ADDRESS, PORT), Handler).serve_forever()


def page(path):
    with open(path, "rb") as file:
        serve(file.read(), lambda headers: None)


def tired(path):
    serve(b"<!doctype html><title>A site</title>",
          lambda headers: time.sleep(3) if headers["Upgrade"] and os.path.exists(path) else None)


def serve(body, before):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            before(self.headers)
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    http.server.ThreadingHTTPServer((ADDRESS, PORT), Handler).serve_forever()


if MODE == "silent":
    hold([PORT])
elif MODE == "many":
    count = int(MORE[0])
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 1000, count + 1000))
    # The first port comes last: whoever waits for it knows that all are there.
    hold(range(PORT + count - 1, PORT - 1, -1))
elif MODE == "page":
    page(MORE[0])
elif MODE == "tired":
    tired(MORE[0])
else:
    hostile({"endless-body": endless_body, "endless-headers": endless_headers, "slow": slow,
             "redirects": redirects, "gzip-bomb": gzip_bomb}[MODE])
