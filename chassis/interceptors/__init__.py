"""What every call passes on its way in: metrics, errors, authentication, deadline, validation, in this order.

Owner: chassis. Each module holds one layer as a function from a handler to a handler; `chassis.grpc_server` composes
them once per method when a service is registered, so a call pays for what the layers do and not for arranging them.
"""
