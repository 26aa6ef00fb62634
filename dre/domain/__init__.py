"""Facts and rules of development reality, pure: nothing here reads a clock, sleeps or opens anything."""
