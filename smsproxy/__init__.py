"""smsproxy: SMS in over gRPC, out over SMPP v3.4, every receipt recorded."""

__version__ = "0.1.0"
