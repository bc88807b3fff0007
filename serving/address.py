"""What a client may be given as a server's address. Imports nothing, so that a slip of the pen is told at once."""

from __future__ import annotations

import re

_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:.]+(?:%[^\]\s]+)?\]|[^\s:/\[\]]+):([0-9]{1,5})")
# Names that gRPC resolves by itself; what follows is its own to check.
_SCHEMES = ("dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:", "vsock:", "xds:")


def check_address(address: str) -> str:
    """The address, where it is one.

    Args:
      address: host:port, [IPv6]:port, or what gRPC resolves: dns:///host:port, unix:path and the like.

    Raises:
      ValueError: it is no such address. Of a host without a port gRPC would take 443 and wait for it.
    """
    found = _HOST_AND_PORT.fullmatch(address)
    if (found and 0 < int(found.group(2)) <= 65_535) or address.startswith(_SCHEMES):
        return address
    raise ValueError(f"address is {address!r}, expected host:port such as 127.0.0.1:8500 (for TLS give tls=).")
