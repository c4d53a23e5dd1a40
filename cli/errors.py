"""What the command line says in one line instead of a stack."""

import socket


class Trouble(RuntimeError):
    """Something the person at the keyboard can put right; the message says how."""


def require_free_port(host: str, port: int, what: str, setting: str) -> None:
    """Raise `Trouble` if something listens on the port already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as refused:
            raise Trouble(
                f"port {port} ({what}) is taken: stop the program that uses it,"
                f" or set {setting} to another port [{refused.strerror}]"
            ) from refused


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nothing listens on at the moment."""
    with socket.create_server((host, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def answers(host: str, port: int) -> bool:
    """Whether something listens there and takes a connection."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False
