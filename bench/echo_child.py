"""The server behind the stdio hop: `echo` over standard streams, on a core of its own choosing."""

import os
import sys

from echo import answer, decode


def main() -> None:
    """Answer line by line until the input ends; the one argument is the core to run on, or -1 for any."""
    core = int(sys.argv[1])
    if core >= 0:
        os.sched_setaffinity(0, {core})  # a child is born on its parent's core, and must not take time from it
    out = sys.stdout.buffer
    for line in sys.stdin.buffer:
        reply = answer(decode(line))
        if reply is not None:
            out.write(reply + b"\n")
            out.flush()


if __name__ == "__main__":
    main()
