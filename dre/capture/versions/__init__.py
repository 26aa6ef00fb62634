"""Versions: what files beside a tool say of it. Nothing is run to ask: a work tree could have planted the answer."""
