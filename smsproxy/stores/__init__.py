"""Where records live. `base.py` is the seam: one protocol, one contract suite, a module for each kind."""
