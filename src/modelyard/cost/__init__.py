"""What work uses, and what that costs."""
