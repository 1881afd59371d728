"""One era served by a server that speaks the other."""
