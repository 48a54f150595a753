"""Starting runs on several processes and hosts."""
