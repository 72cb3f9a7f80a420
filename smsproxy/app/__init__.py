"""The composition root: `App`, the daemon without its process. `lifecycle` runs it, flow tests drive it.

`app` starts and stops the parts in order, `reload` says what SIGHUP cannot change, `blacklists` keeps the
contact policy's numbers current, `http_state` is what the HTTP door sees.
"""

from smsproxy.app.app import App, StartError

__all__ = ["App", "StartError"]
