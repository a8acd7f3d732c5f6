"""How an HTTP endpoint is given: its URL, headers, certificates, and the proxy before it."""
