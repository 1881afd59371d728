"""Servers as child processes that speak over stdin and stdout: any language, any interpreter."""
