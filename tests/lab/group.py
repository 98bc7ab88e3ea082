#!/usr/bin/python3
"""Hears what is sent to the group of mDNS on the network of ADDRESS: group.py ADDRESS

Prints `ready`, then a line `from HOST PORT` for each datagram.
"""

import socket
import struct
import sys

heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
heard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
heard.bind(("", 5353))
group = struct.pack("4s4s", socket.inet_aton("224.0.0.251"), socket.inet_aton(sys.argv[1]))
heard.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
print("ready", flush=True)
while True:
    _, whom = heard.recvfrom(9000)
    print("from", *whom, flush=True)
