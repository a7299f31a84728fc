"""Setting up a server that has no account: who may, and what can be taken over from elsewhere."""
