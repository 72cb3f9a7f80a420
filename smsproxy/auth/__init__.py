"""Authentication: who calls (spec §2.6).

`base` is the protocol that the pipeline uses, `jwt` the one implementation, `claims` its strict reading of a
token's JSON. app.py builds a JwtAuthenticator from the apps of the settings and reloads it at SIGHUP.
"""
