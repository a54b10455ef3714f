"""One statement, answered by a process that can be stopped.

sandbox     asks a worker, and ends it at the deadline
worker      the process; wire what the two say to each other
"""
