"""Holds nothing to serve."""

value = 1
