"""Files: content-addressed blobs, the folder `.dre`, and what this machine keeps about its ledgers."""
