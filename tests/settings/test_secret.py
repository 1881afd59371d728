"""A secret hides itself wherever values end up by accident."""

import copy
import json
import pickle
from dataclasses import asdict, dataclass

import pytest

from portside.secret import HIDDEN, Secret

CANARY = b"canary-3f9c1d77a2"


@dataclass(frozen=True)
class Holder:
    name: str
    key: Secret


def test_only_reveal_gives_it_away() -> None:
    secret = Secret(CANARY)
    assert secret.reveal() == CANARY
    for text in (repr(secret), str(secret), f"{secret}", f"{secret:>40}", f"{secret!r}", "%s" % secret, str([secret])):  # noqa: UP031
        assert CANARY.decode() not in text
        assert HIDDEN in text


def test_a_dataclass_that_holds_one_stays_printable() -> None:
    holder = Holder("a", Secret(CANARY))
    assert repr(holder) == f"Holder(name='a', key=Secret({HIDDEN}))"
    assert CANARY.decode() not in str(asdict(holder))


def test_a_copy_is_as_closed_as_the_original() -> None:
    secret = Secret(CANARY)
    assert copy.copy(secret) is secret
    assert copy.deepcopy({"key": secret}) == {"key": secret}


def test_it_can_be_neither_pickled_nor_written_as_json() -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(Secret(CANARY))
    with pytest.raises(TypeError, match="not JSON serializable"):
        json.dumps({"key": Secret(CANARY)})


def test_equal_contents_are_equal_and_nothing_else_is() -> None:
    assert Secret(CANARY) == Secret(bytes(CANARY))
    assert hash(Secret(CANARY)) == hash(Secret(bytes(CANARY)))
    assert Secret(CANARY) != Secret(CANARY + b"x")
    assert Secret(CANARY) != CANARY
