"""The services: auth, checkin and reporting. They share protos and events, never code (docs/architecture.md)."""
