"""Clouds and web servers, asked from this machine: what lies behind a prefix, what changed, how a job would fare.

Nothing here creates, changes or buys anything.
"""
