"""What may be lost: sessions and their streams, in memory now, shared by replicas behind the same shapes."""
