"""The commands of the command line, each a function: arguments and exit codes, and one call into a room below."""
