"""The fault suite: what is lost when backends, disks and processes fail."""
