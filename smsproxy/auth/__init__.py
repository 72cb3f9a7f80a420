"""Authentication: who calls (spec §2.6).

`base` is the protocol that the pipeline uses, `doorkeeper` its implementation: `jwt` checks tokens, `claims`
is its strict reading of their JSON, `damping` bounds what failures cost. `issue` makes tokens, `grants` hands
them out for a secret. app.py builds a Doorkeeper and Grants from the apps of the settings and reloads them.
"""
