"""A believable organization to look at: `make demo`.

Everything is written through the same services as by people and programs; nothing in the apps knows of it.
"""
