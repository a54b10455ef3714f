"""Logfire's SQL -> the engine's.

dialect     rewrites what the engine lacks, and nothing else
tokens      SQL's words; syntax its expressions; operands what their values are; levels where `level` goes
functions   Logfire's functions that the engine lacks; measures those of metrics
lengths     parts and comparisons of lengths of time, exact
schema      SHOW COLUMNS, DESCRIBE
parameters  values for `$name`
direct      where columns and file indexes say what a function of JSON would
words       what there is to write: columns, keys, functions
"""
