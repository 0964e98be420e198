"""Where texts can be embedded, as the command line names it: `local`, a URL, or CONFIG#NAME."""
