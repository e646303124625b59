"""Isolated conversion: a process of its own for each, with limits on all it could take.

    pool      Workers, in the server's process: starts, waits, kills
    zygote    the process that has everything imported and forks one child a conversion
    child     the conversion itself, after `confine` and `landlock` took its rights away
    outcome   what comes back; the table of our own error codes
    messages  requests and answers as JSON; what a child says is checked, never trusted

The server never loads an image library, and no child ever holds a socket, a file or a variable of it.
"""
