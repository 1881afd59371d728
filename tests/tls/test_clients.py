"""Client certificates at a real server: a sound one is somebody, unsound ones are nobody (row B12)."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.journeys.raw import call
from tests.tls.certificates import (
    Issued,
    Wanted,
    authority,
    issue,
    only_example_com,
    self_signed,
    server,
    tampered,
    unknown_critical,
)
from tests.tls.served import Secured, pem, secured, trusting

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Scene:
    """A server that demands certificates of `root`."""

    root: Issued
    server: Secured
    folder: Path


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Generator[Scene]:
    folder = tmp_path_factory.mktemp("mutual")
    root = authority()
    (folder / "root.pem").write_bytes(pem(root.certificate))
    chain, key = server(root).write(folder, "server")
    probe = trusting(root, issue(root, Wanted("probe")).write(folder, "probe"))
    settings = {"SSL_CA_PATH": str(folder / "root.pem"), "PORTSIDE_CERTIFICATE_IDENTITY": "common_name"}
    with secured(chain, key, probe, settings) as started:
        yield Scene(root, started, folder)


async def ask(scene: Scene, shown: Issued | None) -> int:
    """Return the status of a call made with a certificate."""
    client = None if shown is None else shown.write(scene.folder, "client")
    reply = await scene.server.ask(call("echo", {"text": "hi"}), trusting(scene.root, client))
    return reply.status


async def test_a_sound_certificate_is_let_in_also_through_an_intermediate_authority(scene: Scene) -> None:
    assert await ask(scene, issue(scene.root, Wanted())) == 200
    between = issue(scene.root, Wanted("between", usage=None, is_authority=True, path_length=0))
    assert await ask(scene, issue(between, Wanted())) == 200


async def test_a_request_leaves_its_callers_name_in_no_log(scene: Scene) -> None:
    """Ours: what is logged of a caller is a digest."""
    assert await ask(scene, issue(scene.root, Wanted("somebody-in-particular"))) == 200
    printed = scene.server.printed()
    assert '"principal":"certificate:' in printed
    assert "somebody-in-particular" not in printed


def _under_a_leaf(root: Issued) -> Issued:
    return issue(issue(root, Wanted("a leaf")), Wanted())


def _too_deep(root: Issued) -> Issued:
    between = issue(root, Wanted("between", usage=None, is_authority=True, path_length=0))
    return issue(issue(between, Wanted("below", usage=None, is_authority=True)), Wanted())


def _outside_its_names(root: Issued) -> Issued:
    narrow = Wanted("narrow", usage=None, is_authority=True, extension=only_example_com())
    return issue(issue(root, narrow), Wanted(hosts=("caller.example.org",)))


UNSOUND: Final[dict[str, Callable[[Issued], Issued | None]]] = {
    "none": lambda root: None,
    "signed by itself": lambda root: self_signed(Wanted()),
    "of another authority": lambda root: issue(authority("others"), Wanted()),
    "of another authority with the same name": lambda root: issue(authority(), Wanted()),
    "expired": lambda root: issue(root, Wanted(starts=-3, ends=-1)),
    "not valid yet": lambda root: issue(root, Wanted(starts=1, ends=3)),
    "tampered with": lambda root: tampered(issue(root, Wanted())),
    "for servers only": lambda root: issue(root, Wanted(usage=ExtendedKeyUsageOID.SERVER_AUTH)),
    "signed by one that is no authority": _under_a_leaf,
    "below the depth allowed": _too_deep,
    "outside the names its authority may sign for": _outside_its_names,
    "with a critical extension nobody knows": lambda root: issue(root, Wanted(extension=unknown_critical())),
    "with a short key": lambda root: issue(root, Wanted(key=lambda: rsa.generate_private_key(65537, 1024))),
}


@pytest.mark.parametrize("kind", UNSOUND)
async def test_a_certificate_is_refused_that_is(scene: Scene, kind: str) -> None:
    with pytest.raises((OSError, EOFError)):
        await ask(scene, UNSOUND[kind](scene.root))
    assert await ask(scene, issue(scene.root, Wanted())) == 200


async def test_a_certificate_without_the_name_asked_for_is_nobody(scene: Scene) -> None:
    assert await ask(scene, issue(scene.root, Wanted(""))) == 401


def test_there_are_twelve_kinds_at_least() -> None:
    assert len(UNSOUND) >= 12
