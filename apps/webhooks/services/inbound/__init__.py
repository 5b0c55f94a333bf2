"""The verbs of inbound webhooks: receive, work off, retry, watch, and keep the settings."""
