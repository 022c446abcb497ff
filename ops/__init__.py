"""What an operator runs: the `hadir` command with the local stack, the herd simulator and the roster tools."""
