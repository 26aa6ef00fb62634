"""The doors: REST, the live stream and the pages, over one workspace."""
