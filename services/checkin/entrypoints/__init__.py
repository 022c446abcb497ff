"""How callers and events enter checkin."""
