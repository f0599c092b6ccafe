"""The table of the voice activity detector."""

from __future__ import annotations

from typing import Any


def markdown(results: dict[str, Any]) -> str:
    """A row for each build, after that of ONNX Runtime."""
    peer, *ours = results["entries"]
    lines = [
        (
            f"ONNX Runtime: {peer['ns_median'] / 1000:.1f} us a chunk; its library and session "
            f"take {peer['bytes'] / 2**20:.1f} MB of memory."
        ),
        "",
        (
            "| ours, built by | us a chunk | of ONNX Runtime's time | largest difference | "
            "code and weights, KB | state and scratch, KB |"
        ),
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {e['compiler']} {e['flags']} | {e['ns_median'] / 1000:.1f} | "
        f"{e['over_onnxruntime']:.2f} | {e['error']:.1e} | {e['bytes'] / 1024:.0f} | "
        f"{e['state_bytes'] / 1024:.1f} |"
        for e in ours
    ]
    return "\n".join([*lines, ""])
