"""Floor 6: the command line; one typed function a command, loaded only when it is called."""
