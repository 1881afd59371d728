"""`portside deploy apply`: the plan shown, asked for, done, and on record."""

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from portside.cli import exits
from portside.cli.deploy_project import APPLIED, config_option, json_option, load_project, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from portside.deploy.apply import Done, Stage
    from portside.deploy.plan import Plan
    from portside.deploy.project import Project
    from portside.deploy.state import State
    from portside.settings.model import Settings

_AUDIT: Final = (
    "PORTSIDE_AUDIT",
    "PORTSIDE_AUDIT_DIR",
    "PORTSIDE_AUDIT_KEY_PATH",
    "PORTSIDE_AUDIT_MODE",
    "PORTSIDE_DATA_DIR",
    "PORTSIDE_DATABASE_URL",
    "PORTSIDE_DATABASE_URL_FILE",
    "DATABASE_URL",
    "ENCRYPTION_KEY",
    "ENCRYPTION_KEY_FILE",
)
"""Variables that say which audit log whoever applies keeps; the description's own is that of the replicas."""


@click.command(epilog=exits.HELP)
@click.argument("platform", type=click.Choice(APPLIED))
@click.option("--dry-run", is_flag=True, help="Show the plan, and change nothing.")
@click.option("--yes", "-y", "is_agreed", is_flag=True, help="Do not ask; needed without a terminal.")
@click.option(
    "--deadline",
    "deadline_s",
    type=click.IntRange(min=1),
    help="Seconds until all must be healthy; 300 if not said, 1800 on ECS.",
)
@click.option("--no-rollback", is_flag=True, help="Leave what failed as it is.")
@click.option("--force", is_flag=True, help="Overwrite files that portside did not make.")
@json_option
@config_option
def apply(
    platform: str,
    dry_run: bool,
    is_agreed: bool,
    deadline_s: int | None,
    no_rollback: bool,
    force: bool,
    as_json: bool,
    config: Path | None,
) -> None:
    """Render, show what would change, ask, and bring it to PLATFORM; done once all of it is healthy.

    Where that fails, the last good one is in force again: exit code 1. Where it cannot be, or must not: 6, and what is
    left is said. Where checks find errors, nothing is done: 5. The first Ctrl+C turns back, a second one ends at once.
    """
    from portside.deploy import plan as plans
    from portside.deploy import plan_text, state

    if not (dry_run or is_agreed or sys.stdin.isatty()):
        raise click.UsageError("there is no terminal to ask on: say --yes, or --dry-run to see the plan")
    found = load_project(config)
    _check(found, platform)
    where = state.of(found.folder)

    def made() -> "Plan":
        return plans.make(load_project(config), platform, where, force=force, deadline_s=deadline_s)

    plan = made()
    click.echo(
        plan_text.as_json(plan) if as_json and dry_run else plan_text.as_lines(plan), err=as_json and not dry_run
    )
    if dry_run:
        return
    if not is_agreed and not click.confirm("Apply this?", err=True):
        say("nothing was done")
        raise click.exceptions.Exit(exits.FAILED)
    _finish(plan, made, where, rolls_back=not no_rollback, as_json=as_json)


def _check(found: "Project", platform: str) -> None:
    """Judge the deployment as `deploy check` does. Raises Exit where it would not work."""
    from portside.deploy import check as checking
    from portside.deploy import plan as plans

    (report,) = checking.check(found, (platform,))
    missing = () if report.has_errors else plans.missing(found, platform)
    if report.findings or missing:
        whole = checking.Report(platform, (*report.findings, *missing), report.ran, report.absent)
        click.echo(checking.as_lines((whole,)), err=True)
    if report.has_errors or missing:
        raise click.exceptions.Exit(exits.CHECKS_FAILED)


def _finish(plan: "Plan", made: "Callable[[], Plan]", where: "State", *, rolls_back: bool, as_json: bool) -> None:
    from portside.deploy import apply as applying
    from portside.deploy import history_text

    stage = _stage(plan, where)
    done = asyncio.run(applying.apply(plan, made, stage, rolls_back=rolls_back))
    say(_summary(plan, done))
    if as_json:
        click.echo(history_text.as_json((done.entry,)))
    raise click.exceptions.Exit(_exit_code(done, stage.interrupts.count))


def _stage(plan: "Plan", where: "State") -> "Stage":
    from portside.audit import acts
    from portside.clock import SystemClock
    from portside.deploy import veil
    from portside.deploy.apply import Stage
    from portside.deploy.interrupts import Interrupts

    clock = SystemClock()
    settings = _audit_settings()
    return Stage(
        state=where,
        clock=clock,
        say=say,
        veil=veil.of(plan.spec, plan.folder / plan.platform),
        interrupts=Interrupts(),
        acts=lambda: acts.opened(settings, writer_id="deploy", clock=clock, say=say),
    )


def _audit_settings() -> "Settings":
    from portside.settings import sources

    is_on = os.environ.get("PORTSIDE_AUDIT", "off").lower() != "off"
    environ = {name: os.environ[name] for name in _AUDIT if is_on and name in os.environ}
    # Nothing is served here, so what a production server must have is not asked for.
    return sources.load({**environ, "MCP_ENV": "development"}).settings


def _summary(plan: "Plan", done: "Done") -> str:
    said = {
        "applied": f"applied: {plan.release} of {plan.spec.image}",
        "rolled_back": "rolled back",
        "removed": "taken down again",
        "failed": "failed, and left as it is",
    }
    error = done.entry.ended.error if done.entry.ended is not None else None
    return said[done.outcome] if error is None else f"{said[done.outcome]}, because of: {error}"


def _exit_code(done: "Done", interruptions: int) -> int:
    if done.outcome == "failed":
        return exits.ENDED_AT_ONCE if interruptions > 1 else exits.PARTLY_DONE
    if not done.is_on_record:
        return exits.PARTLY_DONE
    return exits.OK if done.outcome == "applied" else exits.FAILED
