"""A call that the server refuses, with the status code that TF Serving gives for it (spec/serving.md)."""

from __future__ import annotations

import grpc


class CallError(Exception):
    """Ends a call with a status.

    Attributes:
      code: gRPC status code.
      message: what was found, what was expected, and what to do.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}


def invalid(message: str) -> CallError:
    """INVALID_ARGUMENT."""
    return CallError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> CallError:
    """NOT_FOUND."""
    return CallError(grpc.StatusCode.NOT_FOUND, message)


def from_tensorflow(error_code: int, message: str) -> CallError:
    """The status of a failed `Session.run`; TensorFlow's error codes are gRPC's numbers.

    Args:
      error_code: `tf.errors.OpError.error_code`.
      message: TensorFlow's message; only its first line, as the rest lists the graph's nodes.
    """
    first_line = message.strip().partition("\n")[0]
    return CallError(_BY_NUMBER.get(error_code, grpc.StatusCode.INTERNAL), first_line)
