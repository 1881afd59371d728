"""A process that holds a child, for tests that kill it: `driver.py COMMAND...`; prints what `fork` started."""

import asyncio
import json
import os
import sys

from portside.hosting.base import Call
from portside.hosting.stdio.host import StdioHost
from portside.hosting.stdio.running import Nobody
from portside.hosting.stdio.spec import ChildSpec, allowed
from portside.wire import message


async def main() -> None:
    host = StdioHost(ChildSpec("driven", tuple(sys.argv[1:]), allowed(os.environ), term_grace_s=0.5))
    await host.start()
    link = await host.open(None, Nobody())
    found: list[int] = []
    for name in ("fork", "stubborn"):
        asked = message.request(1, "tools/call", {"name": name, "arguments": {}})
        reply = await link.request(asked, Nobody(), Call("modern", "2026-07-28"))
        value = json.loads((reply.result or {})["content"][0]["text"])
        found += value if isinstance(value, list) else [value]
    print(json.dumps(found), flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
