"""The one error of the benchmark: a run that cannot be trusted is not reported."""


class BenchFailure(Exception):
    """A server did not start, answered wrongly or went away; the run ends without figures."""
