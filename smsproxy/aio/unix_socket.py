"""The file of a listening Unix socket. Both doors (gRPC and HTTP) open and leave theirs by these."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat


def bind_unix(path: str) -> socket.socket:
    """A socket bound to `path`, ready to listen.

    A file left by a dead process is replaced. Raises OSError for one that somebody listens on, and for a file
    that is no socket: that is not ours to remove.
    """
    _remove_dead(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(path)
    except OSError:
        bound.close()
        raise
    return bound


def forget_unix(path: str) -> None:
    """Remove the file when nobody listens any more; it may be gone."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _remove_dead(path: str) -> None:
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise OSError(errno.EADDRINUSE, f"another process listens on {path}")
