"""How a server is given in settings: its URL, its headers, the proxy on the way; checked."""
