"""The `operando` command: reads the experiment file and assembles rooms into processes."""
