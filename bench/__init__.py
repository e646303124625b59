"""Measurements, runnable by hand: `python -m bench` for all, `python -m bench NAME [--quick]` for one."""
