"""The 07:00 simulator: N phones that enrol, sign and send as real ones do, and a report of what became of each tap.

Owner: herd. `ops.herd.runner.run` is the whole of it; it knows a stack only as a `StackTarget`, so it drives a laptop
and a cluster alike. Beginners start in runner.py, which is the story in order.
"""
