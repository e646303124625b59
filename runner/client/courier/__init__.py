"""Requests of a run with many jobs, carried out by another process.

An event loop has one core, and a request costs its share of it: headers, TLS, parsing, waking up. Where hundreds of
short jobs are under way at once that is a good part of all that the loop does. So a process of its own takes the short
requests: what is asked and what is answered go between the two whole, over a pair of sockets. Everything that is
decided about them, whether they are tried again and what an answer means, stays with the run.
"""
