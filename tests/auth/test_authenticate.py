"""The edge's layer: nobody in without proof, on any path; what refusals look like; and no token in any log."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.auth.authenticators import ByCertificate, ByKey, ByToken
from portside.auth.certificates import CertificateRule
from portside.auth.introspection import Endpoint, Introspector
from portside.auth.keys import open_book
from portside.auth.principal import Principal
from portside.clock import ManualClock
from portside.edge.asgi import ASGIApp
from portside.edge.authenticate import Authenticate
from portside.edge.cors import Cors
from portside.edge.entry import Entry
from portside.edge.headers import HeadLimits
from portside.errors import RecordsUnavailable
from portside.observe.record import Record, as_fields
from portside.records.connect import open_records
from portside.secret import Secret
from tests.auth import grammar
from tests.auth.forged import FORGED, RSA, claim
from tests.auth.made import CHALLENGES, METADATA, guarded, remote, verifier
from tests.auth.test_certificates import PEER
from tests.edge.asked import HOST, Answer, Inner, Pairs, ask, request
from tests.issuer import AUDIENCE, NOW

pytestmark = pytest.mark.anyio

WELL_KNOWN = "/.well-known/oauth-protected-resource"
GOOD = claim(jti="good")


def bearer(token: str) -> tuple[bytes, bytes]:
    return (b"authorization", f"Bearer {token}".encode("utf-8", "surrogatepass"))


def challenge(answer: Answer) -> dict[str, str]:
    (value,) = answer.all(b"www-authenticate")
    return grammar.parse(value.decode("ascii"))


async def test_a_good_token_gets_in_and_names_its_principal_twice_over() -> None:
    inner = Inner()
    app = guarded(inner)
    for _ in range(2):  # judged, then known
        answer = await ask(app, request([HOST, bearer(GOOD)]))
        assert answer.status == 200
        identity = inner.seen[-1]["portside.identity"]
        assert isinstance(identity, Principal)
        assert (identity.subject, identity.kind) == ("ann", "jwt")
        assert inner.seen[-1]["portside.principal"] == identity.id
        # The raw header stays: a server hosted in this process reads it.
        assert bearer(GOOD) in inner.seen[-1]["headers"]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR", "Bearer  "])
async def test_the_scheme_is_read_in_any_case(scheme: str) -> None:
    header = (b"authorization", f" {scheme} {GOOD}\t".encode())
    assert (await ask(guarded(Inner()), request([HOST, header]))).status == 200


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_token_is_401_with_a_challenge_that_says_so(name: str) -> None:
    inner = Inner()
    answer = await ask(guarded(inner), request([HOST, bearer(FORGED[name])]))
    assert answer.status == 401
    assert not inner.seen
    found = challenge(answer)
    assert (found["error"], found["scope"], found["resource_metadata"]) == ("invalid_token", "read", METADATA.url)
    assert answer.record.outcome == "refused"


PATHS = (
    "/mcp", "/mcp/", "/", "", "/health/", "/Health", "/health/x", "//health", "/health%2f", "/./health", "/ready;x",
    "/ready ", "/metrics", "/metrics/", "/docs", "/nowhere", "/admin", "/mcp/health", "/..", "/mcp/../health",
    "/.well-known", "/.well-known/", WELL_KNOWN + "/", WELL_KNOWN + "/mcp/", WELL_KNOWN + "/other",
    WELL_KNOWN + "/mcp/health",
    "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/health\x00", "/health\n",
    "/héalth",
)  # fmt: skip
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "X")


@pytest.mark.parametrize("path", PATHS)
async def test_without_credentials_every_path_and_method_is_401(path: str) -> None:
    inner = Inner()
    for method in METHODS:
        answer = await ask(guarded(inner), request(method=method, path=path))
        assert answer.status == 401, method
        assert challenge(answer) == {"resource_metadata": METADATA.url, "scope": "read"}
        assert (answer.body == b"") == (method == "HEAD")
    assert not inner.seen


@pytest.mark.parametrize("path", ["/health", "/ready"])
@pytest.mark.parametrize("headers", [[HOST], [HOST, bearer("nonsense")], [HOST, (b"authorization", b"Basic eA==")]])
async def test_probes_are_open_whatever_they_bring(path: str, headers: Pairs) -> None:
    inner = Inner()
    assert (await ask(guarded(inner), request(headers, path=path, method="GET"))).status == 200
    assert "portside.principal" not in inner.seen[0]


async def test_metrics_are_open_where_that_is_wanted() -> None:
    for opens, status in ((True, 200), (False, 401)):
        app = guarded(Inner(), opens_metrics=opens)
        assert (await ask(app, request(path="/metrics", method="GET"))).status == status
        assert (await ask(app, request([HOST, bearer(GOOD)], path="/metrics", method="GET"))).status == 200


@pytest.mark.parametrize("path", [WELL_KNOWN, WELL_KNOWN + "/mcp"])
async def test_the_metadata_is_served_to_everybody_at_both_places(path: str) -> None:
    inner = Inner()
    for method in ("GET", "HEAD"):
        answer = await ask(guarded(inner), request(method=method, path=path))
        assert (answer.status, answer.record.route) == (200, WELL_KNOWN)
        assert answer.all(b"content-type") == [b"application/json"]
        assert answer.all(b"content-length") == [str(len(METADATA.document())).encode()]
        assert answer.body == (METADATA.document() if method == "GET" else b"")
    answer = await ask(guarded(inner), request(method="POST", path=path))
    assert (answer.status, answer.all(b"allow")) == (405, [b"GET, HEAD"])
    assert not inner.seen
    document = json.loads(METADATA.document())
    assert document["resource"] == AUDIENCE
    assert CHALLENGES.metadata_url == "https://mcp.example.com" + WELL_KNOWN + "/mcp"


async def test_without_an_authorization_server_there_is_no_metadata() -> None:
    app = Authenticate(Inner(), ways=[ByToken(verifier(ManualClock()))], challenges=CHALLENGES)
    assert (await ask(app, request(method="GET", path=WELL_KNOWN))).status == 401


@pytest.mark.parametrize(
    ("value", "has_error"),
    [
        (b"", False), (b" ", False), (b"Basic YW5uOnB3", False), (b"Digest x", False),
        (b"DPoP " + GOOD.encode(), False),
        (GOOD.encode(), False), (b"Token " + GOOD.encode(), False), (b"Bearer", True), (b"Bearer ", True),
        (b"Bearer" + GOOD.encode(), True), (b"Bearer\t" + GOOD.encode(), True), (b"Bearer: " + GOOD.encode(), True),
        (b"Bearer " + GOOD.encode() + b" " + GOOD.encode(), True), (b'Bearer "' + GOOD.encode() + b'"', True),
        (b"Bearer " + GOOD.encode() + b", Bearer " + GOOD.encode(), True), (b"Bearer token=" + GOOD.encode(), True),
        (b"Basic x, Bearer " + GOOD.encode(), False), (b"Bearer \x00", True), (b"Bearer \xff\xfe", True),
        (b"Bearer\xa0" + GOOD.encode(), True), (b"Bearer " + GOOD.encode() + b"\r\nx: y", True),
    ],
)  # fmt: skip
async def test_anything_but_one_bearer_token_is_401(value: bytes, has_error: bool) -> None:
    inner = Inner()
    answer = await ask(guarded(inner), request([HOST, (b"authorization", value)]))
    assert (answer.status, "error" in challenge(answer)) == (401, has_error)
    assert not inner.seen


async def test_two_authorization_headers_are_400_wherever_the_good_one_is() -> None:
    inner = Inner()
    for pair in ([bearer(GOOD), bearer(GOOD)], [bearer("x"), bearer(GOOD)], [bearer(GOOD), (b"authorization", b"")]):
        answer = await ask(guarded(inner), request([HOST, *pair]))
        assert (answer.status, challenge(answer)["error"]) == (400, "invalid_request")
    assert not inner.seen


@pytest.mark.parametrize(
    ("pairs", "query", "status"),
    [
        ([bearer("x"), bearer(GOOD)], b"", 400),
        ([bearer(GOOD), bearer(GOOD)], b"", 400),
        ([bearer(GOOD)], b"access_token=x", 400),
        ([(b"authorization", b"Basic1 " + GOOD.encode())], b"", 401),
        ([(b"authorization", b"Bearer\t" + GOOD.encode())], b"", 401),
        ([(b"authorization", b"bearer " + GOOD.encode())], b"", 200),
        ([(b"x-a", b"1"), (b"x-a", b"2"), bearer(GOOD)], b"", 200),
        ([bearer(GOOD)], b"my_access_token=1", 200),
    ],
)
async def test_that_a_token_is_known_makes_nothing_good_that_is_not(pairs: Pairs, query: bytes, status: int) -> None:
    inner = Inner()
    app = guarded(inner)
    await ask(app, request([HOST, bearer(GOOD)]))
    assert (await ask(app, request([HOST, *pairs], query=query))).status == status
    assert len(inner.seen) == (2 if status == 200 else 1)


async def test_an_api_key_is_never_shown_to_an_issuer() -> None:
    async def post(url: str, body: bytes, headers: object) -> bytes:
        raise AssertionError(url)

    clock = ManualClock()
    endpoint = Endpoint("https://i.example/", "us", Secret(b"s"), "https://i.example", AUDIENCE)
    app = guarded(Inner(), ByToken(introspector=Introspector(endpoint, post, clock)))
    assert (await ask(app, request([HOST, bearer("psk_good")]))).status == 401


async def test_other_repeated_headers_do_not_matter() -> None:
    pairs = [HOST, (b"x-a", b"1"), (b"x-a", b"2"), bearer(GOOD)]
    assert (await ask(guarded(Inner()), request(pairs))).status == 200


@pytest.mark.parametrize("query", [b"access_token=" + GOOD.encode(), b"a=1&access_token=x", b"access_token="])
@pytest.mark.parametrize("has_header", [True, False])
async def test_a_token_in_the_url_is_400_even_beside_a_good_one(query: bytes, has_header: bool) -> None:
    """Spec: access tokens MUST NOT be included in the URI query string."""
    inner = Inner()
    headers = [HOST, bearer(GOOD)] if has_header else [HOST]
    answer = await ask(guarded(inner), request(headers, query=query))
    assert (answer.status, challenge(answer)["error"]) == (400, "invalid_request")
    assert not inner.seen
    assert GOOD.encode() not in answer.body


@pytest.mark.parametrize("query", [b"my_access_token=1", b"q=access_token", b"x=1"])
async def test_other_queries_are_none_of_our_business(query: bytes) -> None:
    assert (await ask(guarded(Inner()), request([HOST, bearer(GOOD)], query=query))).status == 200


async def test_where_nobody_can_tell_now_it_is_503_and_nobody_gets_in() -> None:
    inner, clock = Inner(), ManualClock()
    app = guarded(inner, ByToken(verifier(clock, remote(clock, {}))))
    answer = await ask(app, request([HOST, bearer(GOOD)]))
    assert (answer.status, answer.all(b"retry-after")) == (503, [b"5"])
    assert answer.all(b"www-authenticate") == []
    assert b"issuer" not in answer.body
    assert not inner.seen


@dataclass(frozen=True)
class Key:
    """An API key as its book tells it."""

    id: str = "k1"
    principal: str = "ci"
    scopes: frozenset[str] = frozenset({"read"})
    expires: float | None = None


class Book:
    """API keys in memory."""

    async def verify(self, text: str) -> Key | None:
        if text == "psk_down":
            raise RecordsUnavailable("the records do not answer")
        return Key() if text == "psk_good" else None


async def test_keys_that_cannot_be_looked_up_let_nobody_in() -> None:
    inner = Inner()
    answer = await ask(guarded(inner, ByKey(Book())), request([HOST, bearer("psk_down")]))
    assert (answer.status, answer.all(b"retry-after")) == (503, [b"5"])
    assert not inner.seen


async def test_the_keys_of_the_records_get_in_until_they_are_revoked(tmp_path: Path) -> None:
    clock, inner = ManualClock(), Inner()
    async with open_records(f"sqlite:///{tmp_path}/records.db") as records, open_book(records.keys, clock) as book:
        created = await book.create(name="pipeline", principal="ci", scopes=["read"])
        key = created.text.reveal().decode()
        app = guarded(inner, ByKey(book))
        assert (await ask(app, request([HOST, bearer(key)]))).status == 200
        identity: Principal = inner.seen[0]["portside.identity"]
        assert (identity.subject, identity.credential, identity.scopes) == ("ci", created.record.id, {"read"})
        mistyped = key[:-1] + ("x" if key[-1] != "x" else "y")
        assert (await ask(app, request([HOST, bearer(mistyped)]))).status == 401
        await book.revoke(created.record.id)
        assert (await ask(app, request([HOST, bearer(key)]))).status == 401


async def test_a_connection_without_a_certificate_is_one_without_credentials() -> None:
    for nothing in (dict[str, object](), None):
        answer = await ask(guarded(Inner(), *ways(ManualClock())), request(also=with_certificate(nothing)))
        assert "error" not in challenge(answer)


def ways(clock: ManualClock) -> tuple[ByCertificate, ByKey, ByToken]:
    rule = CertificateRule(scopes={"robot-7": frozenset({"read"})})
    return ByCertificate(rule, clock), ByKey(Book()), ByToken(verifier(clock))


def with_certificate(certificate: object) -> Mapping[str, object]:
    return {"extensions": {"tls": {"client_certificate": certificate}}}


@pytest.mark.parametrize(
    ("headers", "certificate", "subject", "kind"),
    [
        ([HOST, bearer("psk_good")], None, "ci", "key"),
        ([HOST, bearer(GOOD)], None, "ann", "jwt"),
        ([HOST], PEER, "robot-7", "certificate"),
        ([HOST, bearer(GOOD)], PEER, "ann", "jwt"),
        ([HOST, bearer("psk_good")], PEER, "ci", "key"),
    ],
)
async def test_whoever_proves_it_in_one_of_the_ways_gets_in(
    headers: Pairs, certificate: object, subject: str, kind: str
) -> None:
    inner, clock = Inner(), ManualClock()
    # Certificates are of another time than the tokens; both are judged by one clock.
    peer = {**PEER, "notBefore": "Jan  1 00:00:00 1970 GMT"} if certificate else None
    answer = await ask(guarded(inner, *ways(clock)), request(headers, also=with_certificate(peer)))
    assert answer.status == 200
    identity: Principal = inner.seen[0]["portside.identity"]
    assert (identity.subject, identity.kind) == (subject, kind)


@pytest.mark.parametrize(
    ("headers", "certificate"),
    [
        ([HOST, bearer("psk_bad")], None),
        ([HOST, bearer("nonsense")], None),
        ([HOST, bearer("psk_bad")], PEER),
        ([HOST, bearer("nonsense")], PEER),
        ([HOST, (b"authorization", b"Basic eA==")], PEER),
        ([HOST], {**PEER, "subject": ()}),
        ([HOST], PEER),  # of a time to come
        ([HOST], {}),
        ([HOST], "robot-7"),
    ],
)
async def test_a_bad_proof_is_not_made_good_by_another_one(headers: Pairs, certificate: object) -> None:
    """A server hosted in this process reads the header: what is in it has been judged, whatever else is shown."""
    inner = Inner()
    app = guarded(inner, *ways(ManualClock()))
    assert (await ask(app, request(headers, also=with_certificate(certificate)))).status == 401
    assert not inner.seen


async def test_a_preflight_is_answered_before_and_carries_no_credentials() -> None:
    inner = Inner()
    app = Cors(guarded(inner), is_listed=lambda origin: origin == b"https://page.example")
    preflight = [HOST, (b"origin", b"https://page.example"), (b"access-control-request-method", b"POST")]
    assert (await ask(app, request(preflight, method="OPTIONS"))).status == 204
    assert (await ask(app, request(preflight[:2], method="OPTIONS"))).status == 401
    foreign = [HOST, (b"origin", b"https://evil.example"), preflight[2]]
    assert (await ask(app, request(foreign, method="OPTIONS"))).status == 401
    assert not inner.seen


def whole(inner: ASGIApp, records: list[Record]) -> Entry:
    """The layer between those it stands between."""
    return Entry(HeadLimits(guarded(inner), max_headers=100, max_url_bytes=8192), emit=records.append)


@pytest.mark.parametrize("kind", ["good", *list(FORGED)[::6]])
async def test_no_token_is_in_any_log_record_or_answer(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    token = GOOD if kind == "good" else FORGED[kind]
    if len(token) < 40:
        return
    records: list[Record] = []
    app = whole(Inner(), records)
    cases: list[tuple[Pairs, bytes]] = [
        ([HOST, bearer(token)], b""),
        ([HOST, bearer(token), bearer(token)], b""),
        ([HOST, (b"authorization", token.encode("utf-8"))], b""),
        ([HOST], b"access_token=" + token.encode("utf-8")),
    ]
    with caplog.at_level(logging.DEBUG):
        answers = [await ask(app, request(headers, query=query)) for headers, query in cases]
    pieces = [piece for piece in token.split(".") if len(piece) > 20] or [token]
    told = [caplog.text, *(str(as_fields(record, {})) for record in records)]
    told += [repr(record.__dict__) for record in caplog.records]
    told += [f"{one.headers}{one.body}" for one in answers]
    assert len(records) == len(cases)
    assert not [piece for piece in pieces for text in told if piece in text]


_any_headers = st.lists(st.tuples(st.just(b"authorization"), st.binary(max_size=60)), max_size=2)
_any_tokens = st.binary(max_size=80).map(lambda raw: [(b"authorization", b"Bearer " + raw)])


@given(st.one_of(_any_headers, _any_tokens), st.binary(max_size=40))
async def test_whatever_is_sent_the_answer_is_4xx(headers: list[tuple[bytes, bytes]], query: bytes) -> None:
    records: list[Record] = []
    answer = await ask(whole(Inner(), records), request([HOST, *headers], query=query))
    assert answer.status in (400, 401)


async def test_an_expired_token_is_told_as_such_so_that_clients_fetch_a_fresh_one() -> None:
    answer = await ask(guarded(Inner()), request([HOST, bearer(claim(exp=NOW - 60))]))
    assert challenge(answer)["error_description"] == "the token has expired"
    body: Any = answer.json
    assert body["error"]["status"] == 401
    assert RSA.token({})[:20] not in str(body)
