"""The use cases of checkin and the ports they need."""
