"""The platforms' own opinion of what was rendered: their validators as commands, where they are installed."""

import datetime
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from portside.targets import compose, haproxy, nginx
from portside.targets.ecs import target as ecs
from portside.targets.file import File, Finding
from portside.targets.front import Front
from portside.targets.kubernetes import target as kubernetes
from portside.targets.observability import files as observability
from portside.targets.observability import scraping
from portside.targets.spec import Spec

_TIMEOUT_S: Final = 60.0
_SAID_LIMIT: Final = 2000


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one validator said of a rendered file; `program` is None where it is not installed."""

    name: str
    file: str
    program: str | None
    findings: tuple[Finding, ...] = ()


def ask(platform: str, spec: Spec, files: Sequence[File], folder: Path) -> tuple[Opinion, ...]:
    """Ask every validator there is for a platform about its files. `folder` is empty, and for them to work in.

    Each gets at most a minute; one that takes longer is a finding.
    """
    if platform == "image":
        return (_hadolint(files, folder),)
    if platform == "compose":
        return (_docker_compose(spec, files, folder), _proxy(spec, folder))
    if platform == "kubernetes":
        return (_kustomize(files, folder),)
    if platform == "ecs":
        return (_cfn_lint(spec, files, folder),)
    if platform == "observability":
        return (_promtool(files, folder), _amtool(files, folder))
    return ()


def _hadolint(files: Sequence[File], folder: Path) -> Opinion:
    return _asked("hadolint", "Dockerfile", files, folder, ["--no-color", str(folder / "Dockerfile")])


def _docker_compose(spec: Spec, files: Sequence[File], folder: Path) -> Opinion:
    name = "docker compose config"
    command = _compose_command()
    if command is None:
        return Opinion(name, "compose.yaml", None)
    # Secrets are read by the validator, which says nothing of what is in them.
    _put([*files, *(File(f"{compose.FOLDER}/{path}", "") for path in compose.secret_files(spec))], folder)
    return _run(
        name, "compose.yaml", [*command, "-f", str(folder / compose.FOLDER / "compose.yaml"), "config", "--quiet"]
    )


def _compose_command() -> list[str] | None:
    docker, alone = _which("docker"), _which("docker-compose")
    if docker is not None and _returns_zero([docker, "compose", "version"]):
        return [docker, "compose"]
    return None if alone is None else [alone]


def _kustomize(files: Sequence[File], folder: Path) -> Opinion:
    """Ask whether the base can be built; what the cluster says of it is known to the cluster alone."""
    arguments = ["kustomize", str(folder / kubernetes.FOLDER), "--output", os.devnull]
    return _asked("kubectl kustomize", "kustomization.yaml", files, folder, arguments)


def _cfn_lint(spec: Spec, files: Sequence[File], folder: Path) -> Opinion:
    arguments = ["--regions", spec.ecs.region, "--template", str(folder / ecs.FOLDER / "template.json")]
    return _asked("cfn-lint", "template.json", files, folder, arguments)


def _promtool(files: Sequence[File], folder: Path) -> Opinion:
    """Ask about the rules too, which the configuration names; the token is looked for, and not read."""
    token, file = File(f"{observability.FOLDER}/{scraping.TOKEN_FILE}", ""), "prometheus.yml"
    arguments = ["check", "config", str(folder / observability.FOLDER / file)]
    return _asked("promtool check config", file, [*files, token], folder, arguments, is_chatty=True)


def _amtool(files: Sequence[File], folder: Path) -> Opinion:
    file = "alertmanager.yml"
    arguments = ["check-config", str(folder / observability.FOLDER / file)]
    return _asked("amtool check-config", file, files, folder, arguments, is_chatty=True)


def _proxy(spec: Spec, folder: Path) -> Opinion:
    """Ask the proxy about its configuration, with a certificate and folders of this machine in place of its own."""
    file = compose.proxy_file(spec)
    name = "nginx -t" if file == "nginx.conf" else "haproxy -c"
    here = _local(compose.front(spec), folder)
    made = nginx.render(here) if file == "nginx.conf" else haproxy.render(here)
    path = str(folder / "local" / file)
    arguments = ["-t", "-q", "-e", "stderr", "-c", path] if file == "nginx.conf" else ["-c", "-q", "-f", path]
    return _asked(name, file, [File(f"local/{file}", made)], folder, arguments)


def _local(front: Front, folder: Path) -> Front:
    here = replace(front, http_port=20_080, https_port=20_443, address="127.0.0.1", runtime_folder=str(folder))
    if front.certificate is None:
        return here
    key, certificate = _certificate()
    paths = {"certificate": folder / "tls.crt", "key": folder / "tls.key", "bundle": folder / "tls.pem"}
    for (_, path), content in zip(paths.items(), (certificate, key, certificate + key), strict=True):
        path.write_bytes(content)
        path.chmod(0o600)
    return replace(here, certificate=str(paths["certificate"]), key=str(paths["key"]), bundle=str(paths["bundle"]))


def _certificate() -> tuple[bytes, bytes]:
    """Return a key and a certificate that nobody trusts, for as long as the question takes."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "portside")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private, made.public_bytes(Encoding.PEM)


def _asked(
    name: str,
    file: str,
    files: Sequence[File],
    folder: Path,
    arguments: Sequence[str],
    *,
    is_chatty: bool = False,
) -> Opinion:
    """Put files into a folder and run the program that a validator's name begins with, where it is installed."""
    program = _which(name.partition(" ")[0])
    if program is None:
        return Opinion(name, file, None)
    _put(files, folder)
    return _run(name, file, [program, *arguments], is_chatty=is_chatty)


def _run(name: str, file: str, command: Sequence[str], *, is_chatty: bool = False) -> Opinion:
    """Run a validator. One that `is_chatty` says so where it finds nothing; of the others every word is a finding."""
    try:
        done = subprocess.run(  # noqa: S603 - a validator, with arguments of ours
            command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return Opinion(name, file, command[0], (Finding("error", file, f"{name} said nothing for {_TIMEOUT_S:.0f} s"),))
    except OSError as error:
        return Opinion(name, file, command[0], (Finding("error", file, f"{name} cannot be run: {error.strerror}"),))
    said = (done.stdout + done.stderr).strip()[:_SAID_LIMIT]
    if done.returncode != 0:
        message = f"{name}: {said or f'exit code {done.returncode}'}"
        return Opinion(name, file, command[0], (Finding("error", file, message),))
    is_finding = bool(said) and not is_chatty
    return Opinion(name, file, command[0], (Finding("warning", file, f"{name}: {said}"),) if is_finding else ())


def _returns_zero(command: Sequence[str]) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False)  # noqa: S603 - as above
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _put(files: Sequence[File], folder: Path) -> None:
    for file in files:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text, encoding="utf-8")


def _which(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
