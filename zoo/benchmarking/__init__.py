"""Latency, throughput and memory of artifacts, measured in turns: `zoo bench`."""
