"""Converters: one module per family behind a small protocol and one literal table.

`protocol` holds the values, `table` names the families, `catalog` answers what they can do, `sniff`
says what a file is. None of these four loads an image library; the families do, in a worker process.
"""
