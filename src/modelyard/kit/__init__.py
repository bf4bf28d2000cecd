"""What families share. A family imports the kit; the kit imports no family, and each of its
modules has two users."""
