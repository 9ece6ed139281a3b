"""What a user asks for in one breath: each workflow is a verb of the command line, callable from Python too."""
