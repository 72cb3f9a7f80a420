"""The commands of `smsproxy` (spec §7), one module each; `main` has the table of them.

Shared: `failures` (errors as one line), `options` (--config, --json and kin), `output` (people or machines),
`daemon` (a client for the daemon of a configuration). Every command exits 0 when done, 1 when the product
said no, 2 for a wrong command line or configuration and when the daemon cannot be reached.
"""
