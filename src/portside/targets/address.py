"""Networks that somebody's word is believed from."""

import ipaddress


def is_network(text: str) -> bool:
    """Say whether this is a network (or one address) of which somebody else is not part."""
    try:
        return ipaddress.ip_network(text).prefixlen > 0
    except ValueError:
        return False
