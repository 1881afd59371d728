"""MCP over HTTP: modern exchanges and legacy sessions on one endpoint."""
