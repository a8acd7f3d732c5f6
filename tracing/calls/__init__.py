"""One recorded call as plain values: described, transcribed, laid on one axis, added up."""
