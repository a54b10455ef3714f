"""One statement, answered in this process.

execute     from its text to its rows: read-only, with limits of rows, bytes and memory
sources     which files it reads, as tables of the engine; first where a few of them have all that is wanted; spilled large ones of other programs
remote      which rows it fetches from a backend
answer      rows, and how they were cut; export writes them
refusals    what the engine says, in our words; damage what files say that go wrong under it
limits      what a process may take
"""
