"""The layer that turns exceptions into statuses, so that nothing ends as UNKNOWN and no internals get out.

Owner: chassis.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, NoReturn

import grpc

from chassis.errors import ErrorMapper, abort
from chassis.interceptors.call import Context, StreamCall


async def refuse(error: BaseException, context: Context, mapper: ErrorMapper, method: str) -> NoReturn:
    """Ends the call with the error's status. Cancellation has none, and what was aborted stays as it is.

    Raises:
        grpc.aio.AbortError: the status was sent.
        BaseException: the error itself, when it is for gRPC and not for the caller.
    """
    if isinstance(error, grpc.aio.AbortError) or not isinstance(error, Exception):
        raise error
    await abort(context, mapper.to_status(error, method=method))


def stream(inner: StreamCall, *, mapper: ErrorMapper, method: str) -> StreamCall:
    """Maps exceptions of calls with a stream of answers; those already sent stay sent."""

    async def call(request: Any, context: Context) -> AsyncGenerator[Any, None]:
        try:
            async with aclosing(inner(request, context)) as responses:
                async for response in responses:
                    yield response
        except Exception as error:  # noqa: BLE001 - mapped and, if unexpected, logged
            await refuse(error, context, mapper, method)

    return call
