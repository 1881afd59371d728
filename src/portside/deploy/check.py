"""`deploy check`: our own rules first, then each platform's validator; says who was asked and who was absent."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from portside.deploy import render, rules, validators
from portside.deploy import spec as specs
from portside.deploy.project import Project
from portside.targets.file import Finding


@dataclass(frozen=True, slots=True)
class Report:
    """Everything found on one platform, and the validators that were asked (`ran`) or are not installed (`absent`)."""

    platform: str
    findings: tuple[Finding, ...]
    ran: tuple[str, ...]
    absent: tuple[str, ...]

    @property
    def has_errors(self) -> bool:
        """Whether anything found would not work; warnings would."""
        return any(finding.severity == "error" for finding in self.findings)


def check(project: Project, platforms: Sequence[str]) -> tuple[Report, ...]:
    """Return a report for each platform. Where rules find errors, nothing is rendered and no validator is asked."""
    return tuple(_on(platform, project) for platform in platforms)


def _on(platform: str, project: Project) -> Report:
    found = rules.judge(project, platform)
    if any(finding.severity == "error" for finding in found):
        return Report(platform, found, (), ())
    spec = specs.spec(project, platform)
    files = render.PLATFORMS[platform].render(spec)
    with tempfile.TemporaryDirectory(prefix="portside-check-") as folder:
        opinions = validators.ask(platform, spec, files, Path(folder))
    return Report(
        platform,
        (*found, *(finding for opinion in opinions for finding in opinion.findings)),
        tuple(opinion.name for opinion in opinions if opinion.program is not None),
        tuple(opinion.name for opinion in opinions if opinion.program is None),
    )


def as_json(reports: Sequence[Report]) -> str:
    """Return reports for programs."""
    return json.dumps(
        [
            {
                "platform": one.platform,
                "findings": [
                    {"severity": found.severity, "path": found.path, "message": found.message} for found in one.findings
                ],
                "ran": one.ran,
                "absent": one.absent,
            }
            for one in reports
        ],
        indent=2,
    )


def as_lines(reports: Sequence[Report]) -> str:
    """Return reports for people."""
    return "\n".join(line for report in reports for line in _lines(report))


def _lines(report: Report) -> Iterator[str]:
    yield f"{report.platform}: {_summary(report)}"
    for finding in report.findings:
        yield f"  {finding.severity}  {finding.path}: {finding.message}"
    yield from (f"  ran      {name}" for name in report.ran)
    yield from (f"  absent   {name}" for name in report.absent)


def _summary(report: Report) -> str:
    errors = sum(finding.severity == "error" for finding in report.findings)
    warnings = len(report.findings) - errors
    if report.has_errors and not report.ran:
        return f"{errors} errors, {warnings} warnings; no validator was asked"
    return f"{errors} errors, {warnings} warnings"
