"""gixy, a scanner of nginx's configurations, has nothing to say about ours that is not argued here."""

from typing import Final

import pytest

from portside.targets import nginx
from tests.targets.test_proxies import PLAIN, TLS, fleet
from tests.targets.validators import problems

ARGUED: Final = {
    "host_spoofing": "portside answers to known hosts alone and must see which was meant, with its port; that the URL "
    "and the header name the same one is looked at before",
    "weak_ssl_tls": "the server's preference is part of what we promise; every cipher in the list is a good one",
    "hash_without_default": "the variable only ever holds one of the names that are listed",
    "missing_resolver": "the variable names an upstream of this file, which has addresses: nothing is resolved",
}
"""What gixy goes on saying, and why we leave it as it is."""

FRONTS: Final = {"plain": PLAIN, "tls": TLS, "fleet": fleet("/run/gates")}


@pytest.mark.parametrize("kind", FRONTS)
def test_every_finding_is_argued(kind: str) -> None:
    found = problems("gixy", [nginx.render(FRONTS[kind])])
    assert [one for one in found if one.partition(" ")[0] not in ARGUED] == []


def test_nothing_is_argued_that_is_not_found() -> None:
    found = problems("gixy", [nginx.render(front) for front in FRONTS.values()])
    assert {one.partition(" ")[0] for one in found} == set(ARGUED)


def test_a_mistake_is_found() -> None:
    wrong = nginx.render(PLAIN).replace("location = /metrics { return 404; }", "location /a { alias /srv/a/; }")
    assert "alias_traversal" in {one.partition(" ")[0] for one in problems("gixy", [wrong])}
