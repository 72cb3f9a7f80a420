"""SMPP v3.4 without I/O: bytes and times in, PDUs, events and bytes out.

Nothing here knows asyncio, a clock, a log or a random number, so every rule can be tested with integers. The
links (ESME) and the simulator (SMSC) are its two users; both directions of every PDU are encoded and decoded.
"""
