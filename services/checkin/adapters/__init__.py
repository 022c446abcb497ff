"""What connects checkin's ports to PostgreSQL, NATS, auth and cryptography."""
