"""The live driver: a Jupyter Server extension, and an embedded server for processes without one.

Tornado does HTTP, authentication and the 101; the `websockets` library's sans-I/O protocol does the frames;
an asyncio transport moves the bytes. The core behind it knows none of them.
"""
