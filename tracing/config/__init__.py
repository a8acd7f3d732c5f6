"""Arguments and environment -> settings, and the backends that they name."""
