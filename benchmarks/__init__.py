"""The figures that pamiq-sched is to hold, each beside the same figure of pamiq-core.

Every figure is a module with two functions: ``measure(library)`` runs in a process of its own, once for each
library and by that library's interpreter, and returns plain numbers; ``rows(ours, peer)`` makes lines of the
table of them. A module imports only the standard library at its top, since the peer's interpreter has neither
our packages nor always torch.
"""
