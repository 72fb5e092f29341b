"""The fault suite: every way in which real databases were found broken."""
