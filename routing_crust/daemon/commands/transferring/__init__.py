"""C{send-file} and C{receive}: files and folders from one member to another."""
