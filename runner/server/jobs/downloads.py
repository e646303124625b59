"""How downloads are counted against `limits.output.max_downloads`: by what is sent. Pure.

The whole file is one download. A part counts by its bytes: for every file's worth of parts beyond the first, one
more download. That first file's worth is what resumes live on; of a download that broke off, what wasn't sent is
added to it. So of one output never more is sent than size x (max_downloads + 1), however it is cut up.
"""

from __future__ import annotations

from dataclasses import replace

from runner.server.jobs.record import Output


def asked_for(output: Output, size_bytes: int, *, most: int) -> Output | None:
    """`output` once so much of it has been asked for; None where that is more than `most` downloads allow."""
    parts = output.in_parts if size_bytes == output.size else output.in_parts + size_bytes
    if most and size_bytes < output.size and parts <= output.size:
        return replace(output, in_parts=parts)
    if output.downloads >= most:
        return None
    paid = 0 if size_bytes == output.size else output.size
    return replace(output, downloads=output.downloads + 1, in_parts=parts - paid)


def broken_off(output: Output, unsent_bytes: int) -> Output:
    """`output` after so much of what was asked for has not been sent."""
    return replace(output, in_parts=output.in_parts - unsent_bytes)
