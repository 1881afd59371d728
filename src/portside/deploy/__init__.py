"""Deployments: one description, checked and rendered for every platform."""
