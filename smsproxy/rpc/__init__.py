"""The gRPC door: guarded server, codec and service. It knows the core as `pipeline.ports.Gateway` only.

`server.RpcServer` is what app.py builds and starts; nothing else of this package is for other packages.
"""
