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


# gRPC sends a status in headers, which clients take up to 8 KiB of.
LONGEST_MESSAGE = 1024
_NOISE = ("Graph execution error", "Detected at node", "File ", "[[", "node ")
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
      message: TensorFlow's message. Only the line that says what happened is kept: around it stand a heading and the
        graph's nodes. It is cut as the real server cuts it: TensorFlow quotes a damaged tf.Example whole.
    """
    lines = [line.strip() for line in message.splitlines()]
    telling = [line for line in lines if line and not line.startswith(_NOISE)]
    said = telling[0] if telling else message.strip()
    cut = said if len(said) <= LONGEST_MESSAGE else said[:LONGEST_MESSAGE] + "...TRUNCATED"
    return CallError(_BY_NUMBER.get(error_code, grpc.StatusCode.INTERNAL), cut)
