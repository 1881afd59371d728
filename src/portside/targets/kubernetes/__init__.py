"""Kubernetes on paper: the objects of a deployment, one file a kind, and a Kustomize base of them."""
