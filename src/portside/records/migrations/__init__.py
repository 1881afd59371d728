"""How a database becomes what this version expects: one file a step, in `versions/`, never changed once released."""
