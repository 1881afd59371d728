"""Every mistake that tests make in a description: how many there are, that none is made twice, and what finds them."""

from pathlib import Path
from typing import Final

import pytest

from portside.deploy import rules
from portside.deploy import spec as specs
from portside.deploy.case import Case
from tests.deploy import test_platform_rules, test_project, test_rules
from tests.deploy.describing import loaded

JUDGED: Final = (*test_rules.MISTAKES.values(), *test_platform_rules.MISTAKES.values())
READ: Final = tuple(test_project.MISTAKES.values())
WANTED: Final = 100


def test_at_least_a_hundred_different_mistakes_are_made_and_each_has_its_path() -> None:
    made = {(text, path) for text, path in READ} | {(text, path) for _, text, path in JUDGED}
    assert len(made) >= WANTED
    assert len(made) == len(READ) + len(JUDGED), "a mistake is made twice"
    assert len({path for _, path in made}) >= WANTED * 2 // 3


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: str(rule.__name__))
def test_every_rule_finds_one_of_them(rule: object, tmp_path: Path) -> None:
    assert any(found_by(rule, platform, text, tmp_path) for platform, text, _ in JUDGED)


def found_by(rule: object, platform: str, text: str, folder: Path) -> bool:
    project = loaded(folder, text)
    case = Case(platform, specs.spec(project, platform), specs.resolved(project), project)
    (chosen,) = [one for one in rules.RULES if one is rule]
    return any(True for _ in chosen(case))
