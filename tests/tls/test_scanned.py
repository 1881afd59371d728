"""TLS of a real server, graded by a public scanner (reliability row B12)."""

import json
import re
import subprocess
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.processes import ROOT
from tests.tls.certificates import authority, server
from tests.tls.served import Secured, pem, secured, trusting

SCANNER: Final = ROOT / ".cache" / "tools" / "scanner" / "bin" / "sslyze"
PROMISED: Final = Path(__file__).with_name("promised.json")
ALSO: Final = ("--reneg", "--compression", "--early_data", "--resum", "--http_headers")
OUTDATED: Final = ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1")
SOUND: Final = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
}
"""Those of Mozilla Server Side TLS 5.8, intermediate, that fit the certificate's kind of key."""


@dataclass(frozen=True)
class Graded:
    """What the scanner found: its verdict's problems under a profile, and its result of each test."""

    problems: list[str]
    results: dict[str, Any]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Secured, Path]]:
    folder = tmp_path_factory.mktemp("tls")
    root = authority()
    (folder / "root.pem").write_bytes(pem(root.certificate))
    chain, key = server(root).write(folder, "server")
    with secured(chain, key, trusting(root)) as started:
        yield started, folder


def scan(port: int, folder: Path, *profile: str) -> Graded:
    if not SCANNER.exists():
        pytest.skip("the scanner is missing: run tests/install-tools")
    found = folder / "found.json"
    command = [str(SCANNER), *profile, *ALSO, f"--json_out={found}", f"--certinfo_ca_file={folder / 'root.pem'}"]
    command += ["--sni", "localhost", f"127.0.0.1:{port}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    verdict = done.stdout.partition("COMPLIANCE AGAINST TLS CONFIGURATION")[2]
    problems = re.findall(r"^ +\* (.+)$", verdict, re.MULTILINE)
    assert (done.returncode == 0) is (not problems), done.stdout + done.stderr
    assert ("OK - Compliant" in verdict) is (not problems), done.stdout + done.stderr
    (result,) = json.loads(found.read_text(encoding="utf-8"))["server_scan_results"]
    return Graded(problems, {name: one["result"] for name, one in result["scan_result"].items()})


@pytest.fixture(scope="module")
def mozilla(running: tuple[Secured, Path]) -> Graded:
    return scan(running[0].port, running[1], "--mozilla_config=intermediate")


def test_mozillas_intermediate_profile_finds_nothing(mozilla: Graded) -> None:
    """The scanner's profile is that of version 5.7."""
    assert mozilla.problems == []


def test_the_profile_we_promise_finds_nothing(running: tuple[Secured, Path]) -> None:
    """Mozilla's intermediate without DHE, as of 5.8."""
    assert scan(running[0].port, running[1], f"--custom_tls_config={PROMISED}").problems == []


def test_the_configuration_of_openssl_that_the_documentation_names_does_the_same(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "tls.md").read_text(encoding="utf-8")
    (told,) = re.findall(r"^```ini\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "openssl.cnf").write_text(told, encoding="utf-8")
    root = authority()
    (tmp_path / "root.pem").write_bytes(pem(root.certificate))
    chain, key = server(root).write(tmp_path, "server")
    with secured(chain, key, trusting(root), {"OPENSSL_CONF": str(tmp_path / "openssl.cnf")}) as started:
        assert scan(started.port, tmp_path, "--mozilla_config=intermediate").problems == []


@pytest.mark.parametrize("version", OUTDATED)
def test_outdated_versions_are_refused(mozilla: Graded, version: str) -> None:
    assert mozilla.results[f"{version}_cipher_suites"]["accepted_cipher_suites"] == []


def test_only_ciphers_with_forward_secrecy_and_authentication_are_accepted(mozilla: Graded) -> None:
    accepted = mozilla.results["tls_1_2_cipher_suites"]["accepted_cipher_suites"]
    assert {one["cipher_suite"]["name"] for one in accepted} == SOUND
    assert len(mozilla.results["tls_1_3_cipher_suites"]["accepted_cipher_suites"]) == 3


def test_there_is_no_compression_client_renegotiation_early_data_or_ticket(mozilla: Graded) -> None:
    found = mozilla.results
    assert not found["tls_compression"]["supports_compression"]
    assert found["session_renegotiation"]["supports_secure_renegotiation"]
    assert not found["session_renegotiation"]["is_vulnerable_to_client_renegotiation_dos"]
    assert not found["tls_1_3_early_data"]["supports_early_data"]
    assert found["session_resumption"]["tls_ticket_successful_resumptions_count"] == 0


def test_known_weaknesses_of_implementations_are_not_there(mozilla: Graded) -> None:
    found = mozilla.results
    assert not found["heartbleed"]["is_vulnerable_to_heartbleed"]
    assert not found["openssl_ccs_injection"]["is_vulnerable_to_ccs_injection"]
    assert found["robot"]["robot_result"].startswith("NOT_VULNERABLE")
    assert found["tls_fallback_scsv"]["supports_fallback_scsv"]
    assert found["tls_extended_master_secret"]["supports_ems_extension"]


def test_browsers_are_told_to_come_back_over_https_only(mozilla: Graded) -> None:
    header = mozilla.results["http_headers"]["strict_transport_security_header"]
    assert (header["max_age"], header["include_subdomains"]) == (31_536_000, True)
