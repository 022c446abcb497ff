"""What auth does: use cases, pure, with everything outside behind ports. Owner: auth."""
