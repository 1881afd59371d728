"""Server objects of the Python SDKs, in this process: an adapter for each family, and what it needs of its SDK."""
