"""Talking to providers: plain Python without Django, given a `send` by the caller.

`manifest.parse` turns a manifest.yaml into frozen facts; `connection.resolve` joins them with one
integration's settings and credentials; `reader.read` pages through a stream; `probe.probe` tests it.
"""
