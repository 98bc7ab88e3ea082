"""A tunnel's own API, with recorded answers: no tunnel's real program can be had in the lab.

A copy of Python that is called `ngrok`, `cloudflared`, `tailscaled` or `frpc` runs this before it
reads its arguments, so that those are free to be the tunnel's. LAB_LISTEN says where it listens, an
address with its port or the path of a socket; LAB_ANSWERS what it answers, by path, in JSON. Without
them it is not called upon: any Python in this folder is as it always was.
"""

import http.server
import json
import os
import socketserver
import time

LISTEN, ANSWERS = os.environ.get("LAB_LISTEN"), json.loads(os.environ.get("LAB_ANSWERS", "{}"))


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        answer = ANSWERS.get(self.path)
        body = (answer if answer is not None else "404 page not found\n").encode()
        self.send_response(404 if answer is None else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "somebody"

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    daemon_threads = True


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


if LISTEN == "nowhere":
    while True:
        time.sleep(3600)
elif LISTEN and LISTEN.startswith("/"):
    if os.path.exists(LISTEN):
        os.unlink(LISTEN)
    server = UnixServer(LISTEN, Handler)
    os.chmod(LISTEN, 0o666)
    server.serve_forever()
elif LISTEN:
    host, port = LISTEN.rsplit(":", 1)
    Server((host, int(port)), Handler).serve_forever()
