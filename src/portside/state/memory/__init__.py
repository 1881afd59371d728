"""State in this process: right for one replica, and gone with it; several holders may share one."""

from portside.state.counters import MemoryCounters
from portside.state.memory.leases import MemoryLeases
from portside.state.memory.ledger import MemoryLedger
from portside.state.memory.mailbox import MemoryMailbox
from portside.state.memory.news import MemoryNews
from portside.state.memory.sessions import MemorySessions
from portside.state.memory.streams import MemoryStreams

__all__ = [
    "MemoryCounters",
    "MemoryLeases",
    "MemoryLedger",
    "MemoryMailbox",
    "MemoryNews",
    "MemorySessions",
    "MemoryStreams",
]
