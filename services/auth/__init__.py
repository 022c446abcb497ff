"""auth: people, schools, devices, activation codes, tokens, the roster. Owner: auth."""
