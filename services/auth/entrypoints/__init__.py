"""Where auth is reached: gRPC servicers, their messages and errors. Owner: auth."""
