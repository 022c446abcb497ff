"""checkin: takes taps, judges them provisionally, and acknowledges after the commit. Owned by the check-in team."""
