"""Run a command with networking off, except for loopback. Linux only.

    python tools/offline.py make test

The command gets a network of its own, in which there is nothing but 127.0.0.1: kernels of notebooks
talk over it. Neither root nor any program is needed, where the system lets users make such
networks; where it does not, this says so and exits with 77.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

CANNOT = 77  # the usual exit code of a test that was skipped
NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000  # CLONE_NEWUSER, CLONE_NEWNET of <sched.h>
GET_FLAGS, SET_FLAGS, UP = 0x8913, 0x8914, 1  # SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP


def leave_network() -> None:
    """Put this process into a new network, as the same user. Raises OSError where that fails."""
    user, group = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_USER | NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "unshare is not permitted")
    own = Path("/proc/self")
    (own / "setgroups").write_text("deny")
    (own / "uid_map").write_text(f"{user} {user} 1")
    (own / "gid_map").write_text(f"{group} {group} 1")


def loopback_up() -> None:
    """Switch loopback on, which is off in a new network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)  # struct ifreq: a name, flags, and room
        request = fcntl.ioctl(any_socket, GET_FLAGS, request)
        flags = struct.unpack("16sh14x", request)[1]
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh14x", b"lo", flags | UP))


def main() -> int:
    """The command's exit code; 77 where networking cannot be switched off."""
    if len(sys.argv) < 2:
        print("usage: python tools/offline.py COMMAND [ARGUMENT ...]", file=sys.stderr)
        return 2
    try:
        leave_network()
        loopback_up()
    except OSError as error:
        print(f"offline: this system does not let users switch networking off: {error}")
        return CANNOT
    return subprocess.call(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
