#!/usr/bin/python3
"""Routers that are none: device.py MODE ADDRESS

Answers every search for a router (SSDP), describes itself over HTTP on port 5000 of ADDRESS, and prints
a line for whatever comes: `search FROM WHOM` and `asked REQUEST`.

  refuses     has a line to the internet, and does not say what it carries
  elsewhere   says that it describes itself at TARGET, the next argument
  floods      answers a thousand times, each time with another place
"""

import http.server
import socket
import struct
import sys
import threading

MODE, ADDRESS = sys.argv[1], sys.argv[2]
TARGET = sys.argv[3] if MODE == "elsewhere" else f"http://{ADDRESS}:5000/description.xml"
DESCRIPTION = b"""<root><device><serviceList><service>
<serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><controlURL>/control</controlURL>
</service></serviceList></device></root>"""


def say(*words):
    print(*words, flush=True)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        say("asked GET", self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(DESCRIPTION)))
        self.end_headers()
        self.wfile.write(DESCRIPTION)

    def do_POST(self):
        say("asked POST", self.headers.get("SOAPAction"))
        self.send_error(401)

    def log_message(self, *_):
        pass


def answer(location):
    return (
        "HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n"
        f"USN: uuid:1\r\nEXT:\r\nCACHE-CONTROL: max-age=60\r\nLOCATION: {location}\r\n\r\n"
    ).encode()


searches = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
searches.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
searches.bind(("", 1900))
group = struct.pack("4s4s", socket.inet_aton("239.255.255.250"), socket.inet_aton(ADDRESS))
searches.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
pages = http.server.ThreadingHTTPServer((ADDRESS, 5000), Handler)
threading.Thread(target=pages.serve_forever, daemon=True).start()
while True:
    datagram, whom = searches.recvfrom(2048)
    say("search from", whom[0])
    if MODE == "floods":
        for number in range(1000):
            searches.sendto(answer(f"http://{ADDRESS}:5000/{number}"), whom)
    else:
        searches.sendto(answer(TARGET), whom)
