"""libsrtp's C functions, without the copies that pylibsrtp makes around them.

Private names used (the exact version is pinned; tests/relay/test_transport_contract.py names each):
    pylibsrtp 1.0.0    Session._srtp, _binding.ffi, _binding.lib
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pylibsrtp
from pylibsrtp import _binding

PACKET_BYTES: Final = 2048
"""The largest datagram taken; media stays under 1,300 and DTLS under 1,500."""

SENT_BYTES: Final = PACKET_BYTES + 64
"""Room for any of them with our header, the two bytes of a retransmission, and the tag that encryption adds."""


@dataclass(frozen=True)
class Cipher:
    """C functions over (session, buffer, length pointer), in place; 0 is success. Encryption adds 16 bytes.

    protect, unprotect         as Python calls them, with a session's `pointer`
    protect_at, unprotect_at   their addresses, for the compiled forwarder, which calls them with a session's `address`
    """

    protect: Callable[[Any, Any, Any], int]
    unprotect: Callable[[Any, Any, Any], int]
    protect_at: int
    unprotect_at: int


def _find_function(name: str) -> int:
    return int(_binding.ffi.cast("uintptr_t", _binding.ffi.addressof(_binding.lib, name)))


SRTP: Final = Cipher(
    _binding.lib.srtp_protect, _binding.lib.srtp_unprotect, _find_function("srtp_protect"),
    _find_function("srtp_unprotect"),
)  # fmt: skip

REPLAY_ERRORS = frozenset({9, 10})
"""srtp_err_status_replay_fail and _old, which pylibsrtp has no names for but pylibsrtp.ERRORS lists."""


class PacketBuffer:
    """A fixed piece of memory that C and Python see alike; `at(n)` is a C pointer into it, `address` its number."""

    __slots__ = ("address", "pointer", "view")

    def __init__(self, size: int = SENT_BYTES) -> None:
        """Take `size` bytes."""
        self.pointer: Any = _binding.ffi.new("char[]", size)
        self.address = int(_binding.ffi.cast("uintptr_t", self.pointer))
        self.view = memoryview(_binding.ffi.buffer(self.pointer))

    def at(self, offset: int) -> Any:
        """Return a pointer `offset` bytes in."""
        return self.pointer + offset


class Session:
    """An SRTP session for the C functions; whoever holds it keeps alive what it points to.

    pointer, address   the session, for Python's calls and as a number
    """

    __slots__ = ("_owner", "address", "pointer")

    def __init__(self, owner: pylibsrtp.Session) -> None:
        """Point to pylibsrtp's session."""
        self._owner = owner
        self.pointer: Any = owner._srtp[0]
        self.address = int(_binding.ffi.cast("uintptr_t", self.pointer))


def new_length() -> Any:
    """Return an int pointer for the C functions above."""
    return _binding.ffi.new("int*")
