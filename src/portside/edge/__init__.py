"""The HTTP boundary: one plain ASGI class a file, in the order edge/stack.py gives."""
