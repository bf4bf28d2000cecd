"""Every typed section of the config."""
