"""Where recordings lie, and reading them, whatever they are.

catalogue   runs, directories, single files
order       runs of several zones in the order of time
contents    which of a root's recordings can have what is asked for: its index
reader      files, live and sealed -> one recording
segments    which runs have their rows in a file that many share
compaction  small runs -> segments
passing     what has settled is sealed after an answer
lookup      a trace or a run by what people call it
"""
