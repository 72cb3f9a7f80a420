"""The product, top to bottom: what happens to a message between a door and an SMSC.

It knows nothing of gRPC (a door's business) and nothing of SMPP octets (a link's business).
"""
