"""Hands on a running system from elsewhere: HTTP, a page for browsers, and who is running.

The server is a process of its own (``python -m pamiq_sched.web``, started by the system), so that no request
disturbs the agent. It imports neither torch nor the runtime. This module imports nothing at all:
:mod:`~pamiq_sched.web.records` is used without the libraries of the server.
"""
