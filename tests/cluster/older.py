"""What Kubernetes 1.20 does not know, said in its words: the one place where anything rendered is changed.

The files are meant for 1.32 and later. This cluster is the last one whose source Debian packages, so a `kubectl` of its
own goes before the real one in the path, which reads what `-k` and `-f` name, rewrites it, and passes everything on:

    python -m tests.cluster.older /real/kubectl apply -k kubernetes
"""

import copy
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, cast

import yaml

Object = dict[str, Any]

_READING: Final = ("apply", "create", "delete")
_FILES: Final = ("-f", "-k")


def older(one: Object) -> Object:
    """Return an object as 1.20 knows it."""
    made = copy.deepcopy(one)
    match one["kind"]:
        case "PodDisruptionBudget":  # policy/v1 came with 1.21, its eviction policy with 1.26
            made["apiVersion"] = "policy/v1beta1"
            made["spec"].pop("unhealthyPodEvictionPolicy", None)
        case "HorizontalPodAutoscaler":  # autoscaling/v2 came with 1.23
            made["apiVersion"] = "autoscaling/v2beta2"
        case "Deployment" | "StatefulSet":
            for container in made["spec"]["template"]["spec"]["containers"]:
                _sleep(container.get("lifecycle", {}).get("preStop", {}))
        case _:
            pass
    return made


def _sleep(hook: Object) -> None:
    """Have a program sleep in the container where the kubelet would: its action came with 1.29."""
    if "sleep" in hook:
        hook["exec"] = {"command": ["sleep", str(hook.pop("sleep")["seconds"])]}


def split(words: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the words of kubectl without files, and the files, each after `-f` or `-k`."""
    kept, files = list[str](), list[tuple[str, str]]()
    rest = iter(words)
    for word in rest:
        if word in _FILES:
            files.append((word, next(rest)))
        else:
            kept.append(word)
    return kept, files


def _read(kubectl: str, files: Sequence[tuple[str, str]]) -> Iterator[Object]:
    for flag, name in files:
        if flag == "-k":
            done = subprocess.run([kubectl, "kustomize", name], stdout=subprocess.PIPE, text=True, check=True)
            text = done.stdout
        else:
            text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        for one in (cast("Object", one) for one in yaml.safe_load_all(text) if one):
            yield from one["items"] if one["kind"] == "List" else [one]


def main(kubectl: str, words: Sequence[str]) -> None:
    """Become kubectl, with the objects of its files on its standard input."""
    kept, files = split(words) if words and words[0] in _READING else (list(words), [])
    if files:
        items = [older(one) for one in _read(kubectl, files)]
        with tempfile.TemporaryFile() as passed:
            passed.write(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}).encode())
            passed.flush()
            os.lseek(passed.fileno(), 0, os.SEEK_SET)
            os.dup2(passed.fileno(), sys.stdin.fileno())
        kept += ["-f", "-"]
    os.execv(kubectl, [kubectl, *kept])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
