"""A daemon that is changed while it runs: its settings are read again, or changed one by one."""
