"""Rules about who may do what, and the refusal that follows from them."""

from typing import Final

from tests.auth import grammar
from tests.journeys.raw import Reply

RULES: Final = """
[scopes]
required = ["mcp"]
[scopes.implies]
"admin" = ["notes:write"]
[scopes.tools]
"remove" = ["notes:write"]
"admin_*" = ["admin"]
[scopes.resources]
"note://private" = ["notes:private"]
"note://of/*" = ["notes:of"]
[scopes.prompts]
"closed_prompt" = ["prompts:closed"]
[scopes.methods]
"logging/setLevel" = ["ops"]
"""


def forbidden(reply: Reply, *scopes: str) -> None:
    """Check that an answer refuses for want of exactly these scopes, together with the one everybody needs."""
    wanted = sorted({"mcp", *scopes})
    assert reply.status == 403
    challenge = grammar.parse(reply.headers["www-authenticate"])
    assert (challenge["error"], challenge["scope"].split()) == ("insufficient_scope", wanted)
    assert reply.json["error"]["code"] == -31007
    assert reply.json["error"]["data"] == {"scopes": wanted}
