"""What rules judge: one deployment on one platform."""

from collections.abc import Iterator
from dataclasses import dataclass

from portside.deploy.project import Project
from portside.settings.model import Settings
from portside.targets.file import Severity
from portside.targets.spec import Spec


@dataclass(frozen=True, slots=True)
class Case:
    """What is judged: a deployment on one platform, its settings, and the project it was made from."""

    platform: str
    spec: Spec
    settings: Settings
    project: Project

    @property
    def most(self) -> int:
        """Return the most replicas there may be at once."""
        scaling = self.spec.scaling
        has_autoscaler = scaling is not None and not self.is_one_machine
        return max(self.spec.replicas, scaling.maximum if scaling is not None and has_autoscaler else 1)

    @property
    def is_one_machine(self) -> bool:
        """Whether replicas have one disk to share, or whether what is rendered does not rest on how they are run."""
        return self.platform in ("image", "compose", "observability")


Said = Iterator[tuple[Severity, str, str]]
"""What a rule yields: how bad it is, the path of a key, and a message."""
