"""Commands of the command line that come in groups. Arguments and exit codes, and one call into a room below."""
