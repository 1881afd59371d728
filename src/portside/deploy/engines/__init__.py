"""How each platform is told to run what was rendered, and what it says of it: pure functions that return commands."""
