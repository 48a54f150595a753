"""A page in the browser that animates portraits."""
