"""Where MCP servers run: one shape to call them by, one adapter for each way they come."""
