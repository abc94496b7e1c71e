"""One file per benchmark; each can be run alone."""
