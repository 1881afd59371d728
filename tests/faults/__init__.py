"""What fails is made to fail here: networks, processes, clocks and stores, under load."""
