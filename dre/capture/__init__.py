"""From a spool to evidence: what the recorder left behind becomes redacted, durable, and part of history."""
