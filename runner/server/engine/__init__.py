"""Accepted work gets done: inputs are fetched, conversions run, outputs published."""
