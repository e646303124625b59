"""How downloads are counted against `limits.output.max_downloads`: by what is sent. Pure.

The whole file is one download. A part counts by its bytes: for every file's worth of parts beyond the first, one
more download. That first file's worth is what resumes live on; of a download that broke off, what wasn't sent is
added to it, and who can't resume may begin anew with it. So of one output never more is sent than
size x (max_downloads + 1), however it is cut up.
"""

from __future__ import annotations

from dataclasses import replace

from runner.server.jobs.record import Output


def asked_for(output: Output, size_bytes: int, *, most: int) -> Output | None:
    """`output` once so much of it has been asked for; None where that is more than `most` downloads allow."""
    whole = size_bytes == output.size
    parts = output.in_parts + size_bytes
    if most and parts <= output.size and not whole:
        return replace(output, in_parts=parts)
    if output.downloads < most:
        return replace(output, downloads=output.downloads + 1, in_parts=parts - output.size)
    if most and whole and output.in_parts < 0:
        return replace(output, in_parts=parts)
    return None


def broken_off(output: Output, unsent_bytes: int) -> Output:
    """`output` after so much of what was asked for has not been sent; a whole file's worth of that is no download."""
    in_parts = output.in_parts - unsent_bytes
    unmade = min(output.downloads, -in_parts // output.size) if in_parts < 0 else 0
    return replace(output, downloads=output.downloads - unmade, in_parts=in_parts + unmade * output.size)
