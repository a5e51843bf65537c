"""Evidence: what sources report about devices, whose devices they are, and what follows for people's records."""
