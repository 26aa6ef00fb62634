"""SQLite, through apsw: the embedded ledger and its tables."""
