"""What stands between an agent and its trace, looked at and said in one line each."""
