"""Counting API calls: what one adds up to (`counting`), where it is written (`store`), how it is read
(`selectors`), and how long it is kept (`retention`). The door of the request path is `services/usage.py`."""
