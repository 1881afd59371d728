"""What platforms print, without secrets: those this machine knows of, and what looks like one."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from portside.observe.mask import KNOWN_MIN, Mask
from portside.secret import HIDDEN
from portside.settings.model import SECRET_NAMES
from portside.targets.spec import Spec

_BEGIN, _END = "-----BEGIN ", "-----END "


class Veil:
    """Hides secrets in lines, one after the other; a private key may go over several."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        # What is heard are lines, so each line of a secret is one.
        lines = (line.strip() for secret in known for line in (secret, *secret.splitlines()))
        self._mask = Mask(line for line in lines if len(line) >= KNOWN_MIN)
        self._is_in_key = False

    def anew(self) -> "Veil":
        """Return one for another output, which begins in no key."""
        veil = Veil()
        veil._mask = self._mask
        return veil

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        return self._mask.text(text)

    def line(self, line: str) -> str:
        """Return the next line of an output without secrets."""
        begins = _BEGIN in line and "PRIVATE KEY" in line
        if not begins and not self._is_in_key:
            return self._mask.text(line)
        self._is_in_key = _END not in line
        return HIDDEN


def known(spec: Spec, environ: Mapping[str, str], secrets_folder: Path) -> Iterator[str]:
    """Yield the secrets this machine may have: of its environment, and of a folder of them beside rendered files.

    What cannot be read by whoever applies is not read by the platform's command either.
    """
    for name in sorted(SECRET_NAMES | {one.name for one in spec.secrets}):
        yield environ.get(name, "")
        if environ.get(f"{name}_FILE"):
            yield _content(Path(environ[f"{name}_FILE"]))
    with suppress(OSError):
        for file in sorted(secrets_folder.iterdir()):
            content = _content(file)
            yield content
            yield from (line.partition("=")[2].strip().strip("\"'") for line in content.splitlines() if "=" in line)


def of(spec: Spec, folder: Path) -> Veil:
    """Return the veil for a deployment. `folder` is the one its platform's files are in."""
    return Veil(known(spec, os.environ, folder / "secrets"))


def _content(file: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return file.read_text(encoding="utf-8").strip()
    return ""
