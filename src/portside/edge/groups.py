"""Which groups TLS agrees on keys in: Mozilla's, and the hybrid one against quantum computers where OpenSSL has it.

`ssl` can be told so from Python 3.15 on. Before, the context's own `SSL_CTX` is: OpenSSL always had a call for it.
"""

import ctypes
import ssl
import sys
from collections.abc import Callable
from typing import Any, Final

GROUPS: Final = (
    "X25519MLKEM768:X25519:P-256:P-384",  # OpenSSL 3.5
    "X25519:P-256:P-384",  # Mozilla Server Side TLS, intermediate
    "P-256:P-384",  # under FIPS
)
"""The first list that OpenSSL knows all of is offered."""

_SET_GROUPS_LIST: Final = 92
"""SSL_CTRL_SET_GROUPS_LIST, of SSL_CTX_set1_groups_list(3)."""


def restrict(context: ssl.SSLContext) -> bool:
    """Offer GROUPS and no others; False where nobody can be told, and OpenSSL's own choice stays."""
    say = _teller(context)
    return say is not None and any(say(groups) for groups in GROUPS)


def _teller(context: ssl.SSLContext) -> Callable[[str], bool] | None:
    own: Any = getattr(context, "set_groups", None)
    if own is not None:
        return lambda groups: _accepts(own, groups)
    address = _address(context)
    if address is None:
        return None
    library, pointer = address
    return lambda groups: library.SSL_CTX_ctrl(pointer, _SET_GROUPS_LIST, 0, groups.encode("ascii")) == 1


def _accepts(own: Callable[[str], None], groups: str) -> bool:
    try:
        own(groups)
    except ssl.SSLError:
        return False
    return True


def _address(context: ssl.SSLContext) -> tuple[ctypes.CDLL, ctypes.c_void_p] | None:
    """Return the OpenSSL that `ssl` is bound to, and the context's SSL_CTX in it; None where they cannot be had."""
    if sys.implementation.name != "cpython":
        return None
    try:
        import _ssl

        library = ctypes.CDLL(_ssl.__file__)
        options = library.SSL_CTX_get_options
        library.SSL_CTX_ctrl.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p)
        library.SSL_CTX_ctrl.restype = ctypes.c_long
    except (ImportError, AttributeError, OSError):
        return None  # OpenSSL is a part of the interpreter, and shows nothing of itself
    # Since 3.6 and up to 3.14 it is the first member of the object (PySSLContext in Modules/_ssl.c).
    pointer = ctypes.c_void_p.from_address(id(context) + object.__basicsize__)
    options.argtypes, options.restype = (ctypes.c_void_p,), ctypes.c_uint64
    return (library, pointer) if options(pointer) == int(context.options) else None
