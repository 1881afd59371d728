"""What is sealed before it goes to Redis, and opened only where it was put."""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from portside.seal import Box

_MOST_TOLD: Final = 1000

_log = logging.getLogger("portside.state")


class Sealed:
    """A `Box` that warns once of each place whose content does not open: tampered with, or its key is gone.

    Such a thing counts as absent. A place is the context it was sealed with.
    """

    def __init__(self, purpose: str, secrets: Sequence[bytes]) -> None:
        self._purpose = purpose
        self._box = Box(purpose, secrets)
        self._told: OrderedDict[str, None] = OrderedDict()

    def seal(self, data: bytes, place: str) -> bytes:
        """Return `data` sealed for one place."""
        return self._box.seal(data, place.encode())

    def open(self, sealed: bytes, place: str) -> bytes | None:
        """Return what was sealed for this place, None where it does not open."""
        data = self._box.open(sealed, place.encode())
        if data is None:
            self.warn(place)
        return data

    def warn(self, place: str) -> None:
        """Say that what lies in a place is not ours."""
        if place in self._told:
            return
        self._told[place] = None
        if len(self._told) > _MOST_TOLD:
            self._told.popitem(last=False)
        _log.warning(
            "a stored %s does not open and counts as absent: was it tampered with, or its key removed? (%s)",
            self._purpose,
            place,
        )
