"""Log lines for people (text) or for programs (one JSON object a line)."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone

# What a line may say beside its message; each is given as `extra` where the line is written.
FIELDS = (
    "model",
    "version",
    "signature",
    "method",
    "status",
    "latency_ms",
    "request_bytes",
    "response_bytes",
    "address",
)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, event, message, logger, and those of `FIELDS` that are known."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; line ends inside the message are escaped, so that it stays one."""
        moment = datetime.fromtimestamp(record.created, timezone.utc)
        line = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "event": getattr(record, "event", "log"),
            "message": record.getMessage(),
            "logger": record.name,
        }
        for name in FIELDS:
            value = getattr(record, name, None)
            if value is not None and value != "":
                line[name] = value
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """Time, level, logger and message, and the same fields as `name=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and a traceback below it where there is one."""
        moment = self.formatTime(record)
        found = [(name, getattr(record, name, None)) for name in FIELDS]
        fields = "".join(f" {name}={value}" for name, value in found if value not in (None, ""))
        line = f"{moment} {record.levelname} {record.name}: {record.getMessage()}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def set_up(form: str, verbose: bool, access_log: bool) -> None:
    """Sends this process's log to stderr.

    Args:
      form: `json` or `text`.
      verbose: also what went well (INFO), not warnings and errors only.
      access_log: also a line for each call.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO if verbose else logging.WARNING)
    if access_log:
        logging.getLogger("serving.access").setLevel(logging.INFO)
