"""What the tests share: a virtual clock, in-memory transports, runners moved by hand, a node, golden transcripts.

Pure like the core itself, so that a test says when time passes and which bytes arrive, and nothing waits.
"""
