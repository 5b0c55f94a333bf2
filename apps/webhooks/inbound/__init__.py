"""Signatures of what providers send: schemes as data, and code where a scheme is more than an HMAC.

Plain Python, without Django and without a database.
"""
