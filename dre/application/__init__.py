"""The verbs: every change goes through `execute`, every reaction through `follow`."""
