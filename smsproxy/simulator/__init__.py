"""An SMSC to test against: receipts, delays, errors and every fault that was met in the field, on demand.

`Smsc` is the server, `Script` says how it behaves, `TruthLog` remembers every PDU. Used by `smsproxy smsc`,
`make run` and the tests; the daemon itself never imports it. It shares the SMPP codec with the gateway, so it
never judges that codec: foreign peers do.
"""
