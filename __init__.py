"""operando: see inside a working battery while it works.

The repository root is this package; every folder beside this file is a room (a subpackage).
docs/explanations/architecture.md says which room does what and who may import whom.
"""

__version__ = "0.1.0"
