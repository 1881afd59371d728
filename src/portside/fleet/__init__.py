"""Replicas behind a proxy on one host, without containers: started, watched, replaced one by one, ended."""
