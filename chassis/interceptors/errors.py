"""The layer that turns exceptions into statuses, so that nothing ends as UNKNOWN and no internals get out.

Owner: chassis.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, NoReturn

import grpc

from chassis.errors import ErrorMapper, abort
from chassis.interceptors.call import Context, StreamCall, UnaryCall


async def _refuse(error: Exception, context: Context, mapper: ErrorMapper, method: str) -> NoReturn:
    await abort(context, mapper.to_status(error, method=method))


def unary(inner: UnaryCall, *, mapper: ErrorMapper, method: str) -> UnaryCall:
    """Maps exceptions of calls with one answer. Cancellation is none, and what was aborted stays as it is."""

    async def call(request: Any, context: Context) -> Any:
        try:
            return await inner(request, context)
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 - mapped and, if unexpected, logged
            await _refuse(error, context, mapper, method)

    return call


def stream(inner: StreamCall, *, mapper: ErrorMapper, method: str) -> StreamCall:
    """Maps exceptions of calls with a stream of answers; those already sent stay sent."""

    async def call(request: Any, context: Context) -> AsyncGenerator[Any, None]:
        try:
            async with aclosing(inner(request, context)) as responses:
                async for response in responses:
                    yield response
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 - mapped and, if unexpected, logged
            await _refuse(error, context, mapper, method)

    return call
