"""What auth decides: pure rules and types, nothing is read or written here. Owner: auth."""
