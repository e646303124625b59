"""Driving a plan through the API, every step durable before the next: see ARCHITECTURE.md, "Never buying twice".

Import from the modules: `disk`, `outcome` and `trouble` cost nothing, `run` brings the HTTP library along.
"""
