"""The groups of TLS: what a server offers, what it declines, and where nobody can be told."""

import ctypes
import ssl
from types import SimpleNamespace
from typing import Any

import pytest

from portside.edge import groups
from tests.tls.certificates import authority, server


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    certificate, key = server(authority()).write(tmp_path_factory.mktemp("groups"), "server")
    return str(certificate), str(key)


def restricted(chain: tuple[str, str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*chain)
    assert groups.restrict(context)
    return context


def agree(context: ssl.SSLContext, curve: str | None) -> None:
    """Shake hands in memory with a client that knows `curve` alone. Raises SSLError where the two do not agree."""
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname, client_context.verify_mode = False, ssl.CERT_NONE
    if curve is not None:
        client_context.set_ecdh_curve(curve)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    served = context.wrap_bio(to_server, to_client, server_side=True)
    waiting = [client, served]
    for _ in range(10):
        for one in list(waiting):
            try:
                one.do_handshake()
                waiting.remove(one)
            except ssl.SSLWantReadError:
                continue
        if not waiting:
            return
    raise AssertionError("the two go on for ever")


@pytest.mark.parametrize("curve", [None, "prime256v1", "secp384r1", "X25519"])
def test_what_mozilla_recommends_is_agreed_on(chain: tuple[str, str], curve: str | None) -> None:
    agree(restricted(chain), curve)


@pytest.mark.parametrize("curve", ["secp521r1", "X448"])
def test_other_groups_of_openssl_are_declined(chain: tuple[str, str], curve: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*chain)
    agree(context, curve)  # as it is, OpenSSL agrees
    with pytest.raises(ssl.SSLError):
        agree(restricted(chain), curve)


def test_the_first_list_that_is_known_whole_is_taken(chain: tuple[str, str]) -> None:
    asked: list[str] = []

    def set_groups(text: str) -> None:
        asked.append(text)
        if "MLKEM" in text:
            raise ssl.SSLError("unknown group")

    assert groups.restrict(own(set_groups))
    assert asked == list(groups.GROUPS[:2])


def test_openssls_own_choice_stays_where_it_knows_none_of_the_lists() -> None:
    def set_groups(text: str) -> None:
        raise ssl.SSLError("unknown group")

    assert not groups.restrict(own(set_groups))


def own(set_groups: Any) -> ssl.SSLContext:
    """Return what `ssl` of Python 3.15 has in a context, as far as it matters here."""
    made: Any = SimpleNamespace(set_groups=set_groups)
    return made


class Closed:
    """A library that shows nothing of OpenSSL."""

    def __init__(self, file: str) -> None:
        self.file = file


def test_openssls_own_choice_stays_where_it_cannot_be_reached(
    chain: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if hasattr(ssl.SSLContext, "set_groups"):
        pytest.skip("this Python can be told")
    monkeypatch.setattr(ctypes, "CDLL", Closed)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*chain)
    assert not groups.restrict(context)
    agree(context, "secp521r1")
