"""HTTP/1.1 as this gateway reads and writes it: strict where it reads requests, careful where it reads answers."""
