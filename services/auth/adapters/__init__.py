"""What auth reaches: PostgreSQL, keys and tokens. Owner: auth."""
