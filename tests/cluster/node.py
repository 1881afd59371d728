"""The cluster's one node: a kubelet on a container engine, and all that it leaves on a machine taken away again."""

import shutil
import subprocess
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.cluster.parts import BIN, part
from tests.engine.engine import BASE, Engine
from tests.processes import free_port

NAME: Final = "node"
DOMAIN: Final = "cluster.local"

_PAUSE: Final = "pause:1"
_MADE: Final = tuple(map(Path, ("/var/log/pods", "/var/log/containers", "/var/lib/kubelet")))
"""Folders that a kubelet makes wherever it is told to be."""

_TUNED: Final = tuple(
    Path("/proc/sys", name)
    for name in (
        "vm/overcommit_memory",
        "vm/panic_on_oom",
        "kernel/panic",
        "kernel/panic_on_oops",
        "kernel/keys/root_maxkeys",
        "kernel/keys/root_maxbytes",
    )
)
"""What a kubelet sets for the whole machine."""

_RUNTIME: Final = """\
#!/bin/sh
# The kubelet wants pods to be the last that are killed for memory; root in a container of its own may not say so.
bundle= before=
for word in "$@"; do
    [ "$before" = --bundle ] && bundle=$word
    before=$word
done
[ -z "$bundle" ] || sed -i 's/"oomScoreAdj":-[0-9]*/"oomScoreAdj":0/' "$bundle/config.json"
exec runc "$@"
"""


def flags(folder: Path) -> Sequence[str]:
    """Write the runtime that pods need into a folder; return the words that tell the engine of it."""
    runtime = folder / "runtime"
    runtime.write_text(_RUNTIME, encoding="utf-8")
    runtime.chmod(0o755)
    return ("--add-runtime", f"lowered={runtime}", "--default-runtime", "lowered")


@contextmanager
def node(engine: Engine, folder: Path, address: str, kubeconfig: Path, is_ready: Callable[[], bool]) -> Generator[None]:
    """Run a node at an address of this machine for the block; no pod, mount or setting of it is left afterwards."""
    _pause(engine, folder)
    made = [one for one in _MADE if not one.exists()]
    tuned = {one: one.read_text(encoding="ascii") for one in _TUNED}
    try:
        with part(folder, _kubelet(engine, folder, address, kubeconfig), is_ready, environment=engine.environment):
            yield
    finally:
        if containers := engine.docker("ps", "-aq").split():
            engine.docker("rm", "-f", *containers)
        _unmount(folder)
        for one in made:
            shutil.rmtree(one, ignore_errors=not one.exists())
        for one, value in tuned.items():
            one.write_text(value, encoding="ascii")


def _kubelet(engine: Engine, folder: Path, address: str, kubeconfig: Path) -> list[str | Path]:
    return [
        *(BIN / "kubelet", f"--kubeconfig={kubeconfig}", f"--hostname-override={NAME}"),
        *(f"--node-ip={address}", f"--address={address}", f"--port={free_port()}"),
        *("--read-only-port=0", "--healthz-port=0", "--anonymous-auth=true", "--authorization-mode=AlwaysAllow"),
        *(f"--root-dir={folder}/kubelet", f"--cert-dir={folder}/kubelet-certificates"),
        *(f"--volume-plugin-dir={folder}/plugins", f"--experimental-dockershim-root-directory={folder}/dockershim"),
        *("--container-runtime=docker", f"--docker-endpoint=unix://{engine.folder}/docker.sock"),
        *(f"--container-runtime-endpoint=unix://{folder}/dockershim.sock", f"--pod-infra-container-image={_PAUSE}"),
        *(f"--cluster-dns={address}", f"--cluster-domain={DOMAIN}", "--resolv-conf="),
        # Nothing of the machine's own: its cgroups, its firewall, its swap, its order of who is killed.
        *("--cgroups-per-qos=false", "--enforce-node-allocatable=", "--make-iptables-util-chains=false"),
        *("--fail-swap-on=false", "--oom-score-adj=0"),
        # The images are here and nowhere else; how full the machine's disk is, is no matter of this.
        *("--image-gc-high-threshold=100", "--image-gc-low-threshold=99", "--eviction-hard=memory.available<64Mi"),
    ]


def _pause(engine: Engine, folder: Path) -> None:
    """Build what holds a pod's network; the usual image of it is in no registry here."""
    place = folder / "pause"
    place.mkdir()
    (place / "Dockerfile").write_text(
        f'FROM {BASE}\nCMD ["sh", "-c", "trap exit TERM; while :; do sleep 3600 & wait; done"]\n', encoding="utf-8"
    )
    engine.build(_PAUSE, place)


def _unmount(folder: Path) -> None:
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    for mount in reversed([one for one in mounts if one.startswith(f"{folder}/")]):
        subprocess.run(["umount", "-l", mount], check=True)
