"""What stands beside the replicas: the proxy, which is told who is in use, and the local Redis."""

from collections.abc import Callable, Sequence
from typing import Final

from portside.fleet import redis
from portside.fleet.folder import FleetFailed, Folder
from portside.fleet.plan import Plan
from portside.fleet.process import Children, Process, is_alive
from portside.fleet.proxy import Proxy, answers, installed, make
from portside.fleet.record import Recorded
from portside.fleet.service import Launch, Service
from portside.fleet.slot import LOOPING, Slot

_VARIABLES: Final = ("PATH", "HOME", "LANG", "TZ")
_PATIENCE: Final = 20
"""Times in a row that the proxy may not be heard before it is said: its socket comes a moment after its process."""


class Beside:
    """Keeps the services of a fleet running. Raises StartFailed where one is not installed."""

    def __init__(
        self, plan: Plan, folder: Folder, children: Children, say: Callable[[str], None], known: Recorded
    ) -> None:
        self._plan = plan
        self._folder = folder
        self._children = children
        self._say = say
        self._told: dict[int, bool] = {}
        self._unheard = 0
        self._slots: Sequence[Slot] = ()
        self._limit = 1
        self._proxy: Proxy | None = make(plan.facts, plan.shape, folder)
        self._services = dict(self._make(known))

    def __repr__(self) -> str:
        return f"<Beside {self._services}>"

    @property
    def looping(self) -> list[str]:
        """The services that end again and again."""
        return [name for name, one in self._services.items() if one.failures >= LOOPING]

    def process(self, name: str) -> Process | None:
        """Return a service's process."""
        return self._services[name].process if name in self._services else None

    def keep(self, slots: Sequence[Slot], limit: int, now: float) -> None:
        """Start again what has ended; the proxy begins with the slots as they are."""
        self._slots, self._limit = slots, limit
        for service in self._services.values():
            said = service.keep(now)
            if said is not None:
                self._say(said)

    async def tell(self, slots: Sequence[Slot]) -> None:
        """Tell the proxy who is in use, where it has not taken that yet; again the next time where it does not."""
        if self._proxy is None or not self._services["proxy"].is_alive:
            return
        try:
            for slot in slots:
                if self._told.get(slot.number) is not slot.is_in:
                    await (self._proxy.admit(slot) if slot.is_in else self._proxy.withdraw(slot))
                    self._told[slot.number] = slot.is_in
        except FleetFailed as error:
            self._unheard += 1
            if self._unheard == _PATIENCE:
                self._say(str(error))
        else:
            self._unheard = 0

    def is_told(self, slots: Sequence[Slot]) -> bool:
        """Say whether the proxy knows who of these is in use; one that does not run sends nobody anything."""
        if self._proxy is None or not self._services["proxy"].is_alive:
            return True
        return all(self._told.get(slot.number) is slot.is_in for slot in slots)

    @property
    def is_open(self) -> bool:
        """Whether clients are let in."""
        if self._proxy is None:
            return True
        return self._services["proxy"].is_alive and answers(self._plan.facts.host, self._plan.facts.port)

    async def resize(self, slots: Sequence[Slot], limit: int) -> None:
        """Make the proxy ready for another number of slots."""
        process = self.process("proxy")
        if self._proxy is not None and process is not None:
            await self._proxy.resize(slots, limit, process)

    def _make(self, known: Recorded) -> list[tuple[str, Service]]:
        plan, folder, children = self._plan, self._folder, self._children
        # Not our whole environment: there are secrets in it that are none of theirs.
        environment = {name: plan.base[name] for name in _VARIABLES if name in plan.base}
        made: list[tuple[str, Service]] = []
        port = plan.facts.redis_port
        if port is not None:
            program = installed("redis-server")
            launch = Launch("redis", lambda: redis.prepare(folder, port, program), environment, folder.log("redis"))
            made.append(("redis", Service(launch, children, _running(known.redis, redis.running(folder)))))
        if self._proxy is not None:
            launch = Launch("proxy", self._prepare, environment, folder.log("proxy"))
            made.append(("proxy", Service(launch, children, _running(known.proxy, self._proxy.running()))))
        return made

    def _prepare(self) -> list[str]:
        if self._proxy is None:
            raise FleetFailed("this fleet has no proxy")
        self._told = {slot.number: slot.is_in for slot in self._slots}
        return self._proxy.prepare(self._slots, self._limit)


def _running(known: Process | None, found: Process | None) -> Process | None:
    return known if known is not None and is_alive(known) else found
