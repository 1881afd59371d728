"""MCP on paper: what the messages look like and what the specification says about them. No I/O."""
