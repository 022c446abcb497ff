"""The rules of a tap: pure values and functions, no I/O."""
